"""import_weights: a file of pretrained weights -> Checkpoint to start from."""

from __future__ import annotations

from pathlib import Path

from pipeline.binders.common import Log, Workspace
from pipeline.params import Book
from pipeline.weights import import_weights, save_imported


def run(book: Book, name: str, log: Log) -> None:
    """Write ``checkpoints/NAME``."""
    here = Workspace(book, "import_weights", name)
    entry = here.entry
    imported = import_weights(entry.architecture, Path(entry.file), entry.download, entry.normalisation)
    save_imported(here.path("checkpoints", name), imported)
    log.metrics({"entries": len(imported.state)})
