"""overlay_labels: Supervision x Supervision -> Supervision."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from models.errors import DataError
from models.structures import Supervision
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.problems.notices import first_of
from pipeline.storage.stores import SupervisionStore
from stages.overlay_labels import overlay_labels


@dataclass(frozen=True)
class _Overlay:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Supervision]:
        lower, upper = _stores(self.here)
        by_hand = dict(upper.items(id for id in ids if id in upper))
        samples = ((id, item, by_hand.get(id)) for id, item in lower.items(ids))
        yield from (supervision for _, supervision in overlay_labels(samples))


def run(book: Book, name: str, log: Log) -> None:
    """Write ``supervision/NAME``, for the images of the lower labels.

    Raises:
        DataError: stores of different catalogues, or no image that both have.
    """
    here = Workspace(book, "overlay_labels", name)
    entry, catalogue = here.entry, here.catalogue
    lower, upper = _stores(here)
    for store in (lower, upper):
        store.require((), f"overlay_labels.{name}", catalogue.digest)
    both = sum(id in upper for id in lower.ids)
    if not both:
        raise DataError(
            f"overlay_labels.{name}: expected images that both have, found none among the {len(lower)} of "
            f"'{entry.supervision}' and the {len(upper)} of '{entry.over}'. Remedy: name labels of one split."
        )
    below = set(lower.ids)
    if dropped := [id for id in upper.ids if id not in below]:
        warnings.warn(
            f"overlay_labels.{name}: {len(dropped)} of the {len(upper)} images of '{entry.over}' have no labels in "
            f"'{entry.supervision}' and are left out: {first_of(dropped)}.",
            stacklevel=2,
        )
    writer = SupervisionStore.create(
        here.path("supervision", name),
        header(catalogue, lower.ids),
        fingerprint=here.fingerprint(lower.path, upper.path),
    )
    write_shards(writer, _Overlay(here), f"overlay_labels {name}")
    log.metrics({"images": len(lower)})


def _stores(here: Workspace) -> tuple[SupervisionStore, SupervisionStore]:
    """The lower and the upper labels."""
    lower, upper = (here.path("supervision", name) for name in (here.entry.supervision, here.entry.over))
    return SupervisionStore.opened(lower), SupervisionStore.opened(upper)
