"""merge_cams: Cams x Cams -> Cams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.errors import DataError
from models.structures import Cam
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.problems.notices import first_of
from pipeline.storage.stores import CamStore
from stages.merge_cams import merge_cams


@dataclass(frozen=True)
class _Merge:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Cam]:
        cams, other = _stores(self.here)
        both = zip(cams.items(ids), other.items(ids), strict=True)
        samples = ((id, cam, beside) for (id, cam), (_, beside) in both)
        for _, cam in merge_cams(samples, **self.here.entry.options):
            yield cam


def run(book: Book, name: str, log: Log) -> None:
    """Write ``cams/NAME``, for the images of ``cams``.

    Raises:
        DataError: stores of different catalogues, an image that ``other`` lacks, or CAMs of other classes.
    """
    here = Workspace(book, "merge_cams", name)
    entry, catalogue = here.entry, here.catalogue
    cams, other = _stores(here)
    cams.require((), f"merge_cams.{name}", catalogue.digest)
    other.require(cams.ids, f"merge_cams.{name}", catalogue.digest)
    keys = dict(zip(other.ids, other.keys, strict=True))
    if differ := [id for id, classes in zip(cams.ids, cams.keys, strict=True) if keys[id] != classes]:
        raise DataError(
            f"merge_cams.{name}: expected maps of the same classes, found {len(differ)} of {len(cams)} images for "
            f"which '{entry.cams}' and '{entry.other}' have maps of different ones: {first_of(differ)}. "
            "Remedy: export both with the same `supervision:`."
        )
    writer = CamStore.create(
        here.path("cams", name),
        header(catalogue, cams.ids),
        cams.keys,
        dtype=entry.dtype,
        fingerprint=here.fingerprint(cams.path, other.path),
    )
    write_shards(writer, _Merge(here), f"merge_cams {name}")
    log.metrics({"images": len(cams)})


def _stores(here: Workspace) -> tuple[CamStore, CamStore]:
    cams, other = (here.path("cams", name) for name in (here.entry.cams, here.entry.other))
    return CamStore.opened(cams), CamStore.opened(other)
