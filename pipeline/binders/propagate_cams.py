"""propagate_cams: Cams x Checkpoint -> Cams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.doors import resolve
from models.refiners import SPREADS
from models.structures import Cam
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.storage.stores import CamStore


@dataclass(frozen=True)
class _Propagate:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Cam]:
        from pipeline.compute.runtime import device
        from stages.propagate_cams import propagate_cams

        entry, catalogue, device_here = self.here.entry, self.here.catalogue, device()
        method = self.here.network()
        cams = CamStore.opened(self.here.path("cams", entry.cams))
        samples = ((id, catalogue.image(id), cam) for id, cam in cams.items(ids))
        spread = resolve(SPREADS, entry.spread, "spread")(**entry.options)
        propagated = propagate_cams(
            samples, method, spread, device=device_here, precision=entry.precision, instances=entry.instances
        )
        yield from (cam for _, cam in propagated)


def run(book: Book, name: str, log: Log) -> None:
    """Write ``cams/NAME``."""
    here = Workspace(book, "propagate_cams", name)
    entry, catalogue = here.entry, here.catalogue
    source = here.path("cams", entry.cams)
    cams = CamStore.opened(source)
    cams.require((), f"propagate_cams.{name}", catalogue.digest)
    writer = CamStore.create(
        here.path("cams", name),
        header(catalogue, cams.ids),
        cams.keys,
        dtype=entry.dtype,
        fingerprint=here.fingerprint(source, here.path("checkpoints", entry.checkpoint)),
    )
    write_shards(writer, _Propagate(here), f"propagate_cams {name}", on_device=True)
    log.metrics({"images": len(cams)})
