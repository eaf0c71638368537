"""The results table of a book and the table of a paper: rows, provenance, published numbers, formats."""
