"""import_annotations: a file of boxes, points or scribbles -> Supervision. Ground truth is out of its reach."""

from __future__ import annotations

from pathlib import Path

from pipeline.binders.common import Log, Workspace
from pipeline.binders.supervising import write_supervision
from pipeline.book.params import Book


def run(book: Book, name: str, log: Log) -> None:
    """Write ``supervision/NAME`` for every image of the entry's split, from the entry's file."""
    here = Workspace(book, "import_annotations", name)
    file = here.entry.file
    write_supervision(here, {"file": file, **here.entry.options}, None, [Path(file)], log)
