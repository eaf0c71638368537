"""annotate: Catalogue (and ground truth, where labels are derived) -> Supervision."""

from __future__ import annotations

from pipeline.binders.common import Log, Workspace
from pipeline.binders.supervising import write_supervision
from pipeline.book.params import Book


def run(book: Book, name: str, log: Log) -> None:
    """Write ``supervision/NAME`` for every image of the entry's split, from published tags or the ground truth."""
    here = Workspace(book, "annotate", name)
    truth = here.path("ground_truth", here.entry.data)
    write_supervision(here, here.entry.options, truth, [truth / "ground_truth.json"], log)
