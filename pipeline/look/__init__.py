"""``python -m pipeline look``: a local page to browse the images of a book, draw labels on them and try a network."""
