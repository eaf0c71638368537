"""import_weights: a file of pretrained weights, or of a published network -> Checkpoint."""

from __future__ import annotations

from pathlib import Path

from pipeline.binders.common import Log, Workspace
from pipeline.book.params import Book
from pipeline.weights.pretrained import import_weights, save_imported


def run(book: Book, name: str, log: Log) -> None:
    """Write ``checkpoints/NAME``."""
    here = Workspace(book, "import_weights", name)
    entry = here.entry
    if entry.official:
        from pipeline.weights.official.importing import import_official, save_official, untrained

        if entry.untrained:
            published = untrained(entry.official, entry.classes, entry.prompts)
        else:
            published = import_official(
                entry.official, Path(entry.file), entry.classes, entry.prompts, entry.normalisation
            )
        save_official(here.path("checkpoints", name), published)
        log.metrics({"entries": len(published.method.state_dict()), "ignored": len(published.ignored)})
        return
    imported = import_weights(entry.architecture, Path(entry.file), entry.download, entry.normalisation)
    save_imported(here.path("checkpoints", name), imported)
    log.metrics({"entries": len(imported.state)})
