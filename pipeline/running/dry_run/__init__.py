"""A try of a book: every stage on its real networks, with few images and few steps, in a work folder of its own."""
