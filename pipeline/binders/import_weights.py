"""import_weights: a file of pretrained weights -> Checkpoint to start from."""

from __future__ import annotations

from pathlib import Path

from pipeline.binders.common import Log, Workspace
from pipeline.checkpoints import import_weights, save_imported
from pipeline.params import Book


def run(book: Book, name: str, log: Log) -> None:
    """Write ``checkpoints/NAME``."""
    here = Workspace(book, "import_weights", name)
    entry = here.entry
    save_imported(here.path("checkpoints", name), import_weights(entry.architecture, Path(entry.file), entry.download))
