"""A recipe book for a user's own folder: look at it, choose numbers for its size, write the book, check it."""
