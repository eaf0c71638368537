"""What a GPU computes, how fast, and with how much memory."""
