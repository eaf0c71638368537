"""Masks of a book as palette PNG."""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigurationError, DataError, closest
from pipeline.book.params import Book


def export_masks(book: Book, name: str, out: Path) -> int:
    """Write the masks of ``masks/NAME`` or ``supervision/NAME`` as palette PNG; returns how many.

    Raises:
        ConfigurationError: no such artefact in the book.
        DataError: the artefact has not been made, or ``out`` holds files.
    """
    from pipeline.book.artifacts import artifact
    from pipeline.pictures.palette import export_png
    from pipeline.storage.stores import MaskStore, SupervisionStore

    kind, _, short = name.partition("/")
    known = [f"{kind}/{name}" for kind in ("masks", "supervision") for name in book.names(kind)]
    if name not in known:
        raise ConfigurationError(f"{book.book.params} makes no '{name}'.{closest(name, known)}")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Name a new folder: nothing is overwritten.")
    path = artifact(book.book.work, kind, short)
    if kind == "masks":
        return len(export_png(MaskStore(path), out))
    return len(export_png(((id, item.seeds) for id, item in SupervisionStore(path)), out))
