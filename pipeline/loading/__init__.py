"""Images and supervision to batches."""
