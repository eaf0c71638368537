"""``python -m pipeline report``: one self-contained HTML folder for each book."""
