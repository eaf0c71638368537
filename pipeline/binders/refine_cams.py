"""refine_cams: Cams -> Cams, by a refiner that needs no training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.doors import resolve
from models.refiners import REFINERS
from models.structures import Cam
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.storage.stores import CamStore
from stages.refine_cams import refine_cams


@dataclass(frozen=True)
class _Refine:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Cam]:
        entry, catalogue = self.here.entry, self.here.catalogue
        refiner = resolve(REFINERS, entry.refiner, "refiner")(**entry.options)
        cams = CamStore.opened(self.here.path("cams", entry.cams))
        samples = ((id, catalogue.image(id), cam) for id, cam in cams.items(ids))
        for _, cam in refine_cams(samples, refiner):
            yield cam


def run(book: Book, name: str, log: Log) -> None:
    """Write ``cams/NAME``."""
    here = Workspace(book, "refine_cams", name)
    entry, catalogue = here.entry, here.catalogue
    source = here.path("cams", entry.cams)
    cams = CamStore.opened(source)
    cams.require((), f"refine_cams.{name}", catalogue.digest)
    writer = CamStore.create(
        here.path("cams", name),
        header(catalogue, cams.ids),
        cams.keys,
        dtype=entry.dtype,
        fingerprint=here.fingerprint(source),
    )
    write_shards(writer, _Refine(here), f"refine_cams {name}")
    log.metrics({"images": len(cams)})
