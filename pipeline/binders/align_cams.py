"""align_cams: Cams x Proposals -> Cams, by an aligner that needs no training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.doors import resolve
from models.refiners import ALIGNERS
from models.structures import Cam
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.storage.proposals import ProposalStore
from pipeline.storage.stores import CamStore
from stages.align_cams import align_cams


@dataclass(frozen=True)
class _Align:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Cam]:
        entry = self.here.entry
        aligner = resolve(ALIGNERS, entry.aligner, "aligner")(**entry.options)
        cams = CamStore.opened(self.here.path("cams", entry.cams))
        proposals = ProposalStore.opened(self.here.path("proposals", entry.proposals))
        both = zip(cams.items(ids), proposals.items(ids), strict=True)
        for _, cam in align_cams(((id, cam, masks) for (id, cam), (_, masks) in both), aligner):
            yield cam


def run(book: Book, name: str, log: Log) -> None:
    """Write ``cams/NAME``."""
    here = Workspace(book, "align_cams", name)
    entry, catalogue = here.entry, here.catalogue
    source, shapes = here.path("cams", entry.cams), here.path("proposals", entry.proposals)
    cams = CamStore.opened(source)
    cams.require((), f"align_cams.{name}", catalogue.digest)
    ProposalStore.opened(shapes).require(cams.ids, f"align_cams.{name}", catalogue.digest)
    writer = CamStore.create(
        here.path("cams", name),
        header(catalogue, cams.ids),
        cams.keys,
        dtype=entry.dtype,
        fingerprint=here.fingerprint(source, shapes),
    )
    write_shards(writer, _Align(here), f"align_cams {name}")
    log.metrics({"images": len(cams)})
