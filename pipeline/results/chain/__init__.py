"""One chain of a book as it will run: its stages, what they stand on, whether they are made, what they cost."""
