"""prepare: data set on disk (or made) -> Catalogue and ground truth."""

from __future__ import annotations

from pipeline.binders.common import Log, Workspace
from pipeline.datasets.build import make_catalogue
from pipeline.params import Book
from pipeline.runtime import workers


def run(book: Book, name: str, log: Log) -> None:
    """Check every image; write ``catalogues/NAME`` and ``ground_truth/NAME``."""
    here = Workspace(book, "prepare", name)
    entry = here.entry
    catalogue = make_catalogue(
        entry.reader,
        here.path("catalogues", name),
        here.path("ground_truth", name),
        {"root": entry.root, **entry.options},
        on_bad_image=entry.on_bad_image,
        workers=workers(),
    )
    log.metrics({"images": len(catalogue.entries), "left_out": len(catalogue.left_out)})
    log.metrics({f"images_{split}": len(ids) for split, ids in catalogue.splits.items()})
