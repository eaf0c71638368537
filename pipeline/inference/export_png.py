"""Masks of a book as palette PNG."""

from __future__ import annotations

from pathlib import Path

from pipeline.book.params import Book
from pipeline.inference.stored import StoredMasks, require_empty


def export_masks(book: Book, name: str, out: Path) -> int:
    """Write the masks of ``masks/NAME`` or ``supervision/NAME`` as palette PNG; returns how many.

    Raises:
        ConfigurationError: no such artefact in the book.
        DataError: the artefact has not been made, or ``out`` holds files.
    """
    from pipeline.pictures.palette import export_png

    stored = StoredMasks.of(book, name)
    require_empty(out)
    return len(export_png(stored.masks(), out))
