"""prepare: data set on disk (or made) -> Catalogue and ground truth."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from pipeline.binders.common import Log, Workspace
from pipeline.book.params import Book
from pipeline.compute.runtime import workers
from pipeline.datasets.build import make_catalogue
from pipeline.problems.notices import first_lines, read_notices, warn_of

NAMED = 3
"""Images that the warning names; the catalogue has them all."""


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
        limit=entry.limit,
        workers=workers(),
    )
    notices = read_notices(catalogue.folder)
    warn_of(notices)
    if catalogue.left_out:
        warnings.warn(left_out_notice(catalogue.left_out, len(catalogue.entries)), stacklevel=2)
    log.metrics({"images": len(catalogue.entries), "left_out": len(catalogue.left_out), "warnings": len(notices)})
    log.metrics({f"images_{split}": len(ids) for split, ids in catalogue.splits.items()})


def left_out_notice(left_out: Mapping[str, str], kept: int) -> str:
    """How many images ``on_bad_image: skip`` left out, and what is wrong with the first of them."""
    named = first_lines([f"  {id}: {reason}" for id, reason in left_out.items()], NAMED)
    head = f"{len(left_out)} of {len(left_out) + kept} images are left out (on_bad_image: skip):"
    return "\n".join([head, *named])
