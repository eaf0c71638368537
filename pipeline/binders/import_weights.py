"""import_weights: a file of pretrained weights, or of a published network -> Checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.binders.common import Log, Workspace
from pipeline.book.params import Book
from pipeline.weights.official.importing import OfficialNetwork, import_official, save_official, untrained
from pipeline.weights.pretrained import ImportedWeights, import_weights, save_imported
from pipeline.weights.second import random_second, save_with_second, two_files


def run(book: Book, name: str, log: Log) -> None:
    """Write ``checkpoints/NAME``."""
    here = Workspace(book, "import_weights", name)
    entry = here.entry
    if entry.official:
        published, second = _official(entry)
        if second is None:
            save_official(here.path("checkpoints", name), published)
        else:
            save_with_second(here.path("checkpoints", name), published, second)
        log.metrics({"entries": len(published.method.state_dict()), "ignored": len(published.ignored)})
        return
    imported = import_weights(entry.architecture, Path(entry.file), entry.download, entry.normalisation)
    save_imported(here.path("checkpoints", name), imported)
    log.metrics({"entries": len(imported.state)})


def _official(entry: Any) -> tuple[OfficialNetwork, ImportedWeights | None]:
    """The official network of an entry, and the second encoder where it has one."""
    file, second, own = Path(entry.file), None, entry.second
    if entry.untrained:
        published = untrained(entry.official, entry.classes, entry.prompts)
        return published, random_second(own.architecture) if own else None
    if own:
        file, other = two_files(file, own.file)
        second = import_weights(own.architecture, other)
    return import_official(entry.official, file, entry.classes, entry.prompts, entry.normalisation), second
