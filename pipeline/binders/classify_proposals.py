"""classify_proposals: Proposals x Supervision x Checkpoint -> Masks, without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.structures import Mask
from pipeline.binders.common import Log, Workspace, header, id_chunks, require_mask_classes, write_shards
from pipeline.book.params import Book
from pipeline.compute.chunks import run_chunks
from pipeline.storage.proposals import ProposalStore
from pipeline.storage.stores import MaskStore, SupervisionStore

if TYPE_CHECKING:
    from stages.classify_proposals import Bank


@dataclass(frozen=True)
class _Collect:
    """The regions of one chunk of the labelled images."""

    here: Workspace
    chunks: tuple[tuple[str, ...], ...]

    def __call__(self, k: int) -> Bank:
        from models.ops.region_bank import BankOptions
        from pipeline.compute.runtime import device
        from stages.classify_proposals import bank_regions

        catalogue, entry = self.here.catalogue, self.here.entry
        labelled = SupervisionStore.opened(self.here.path("supervision", entry.supervision))
        samples = ((id, catalogue.image(id), known.seeds) for id, known in labelled.items(self.chunks[k]))
        return bank_regions(samples, self.here.network(), BankOptions(**entry.options), device=device())


@dataclass(frozen=True)
class _Classify:
    here: Workspace
    bank: Bank

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Mask]:
        from models.ops.region_bank import BankOptions
        from pipeline.compute.runtime import device
        from stages.classify_proposals import classify_proposals

        catalogue, entry = self.here.catalogue, self.here.entry
        proposals = ProposalStore.opened(self.here.path("proposals", entry.proposals))
        samples = ((id, catalogue.image(id), masks) for id, masks in proposals.items(ids))
        options, network = BankOptions(**entry.options), self.here.network()
        for _, mask in classify_proposals(samples, network, self.bank, options, device=device()):
            yield mask


def run(book: Book, name: str, log: Log) -> None:
    """Write ``masks/NAME`` for every image of the proposals."""
    from models.ops.region_bank import BankOptions
    from stages.classify_proposals import joined

    here = Workspace(book, "classify_proposals", name)
    entry, catalogue = here.entry, here.catalogue
    require_mask_classes(catalogue, f"classify_proposals.{name}")
    shapes, labels = here.path("proposals", entry.proposals), here.path("supervision", entry.supervision)
    proposals, labelled = ProposalStore.opened(shapes), SupervisionStore.opened(labels)
    for store in (proposals, labelled):
        store.require((), f"classify_proposals.{name}", catalogue.digest)
    inputs = shapes, labels, here.path("checkpoints", entry.checkpoint)
    writer = MaskStore.create(
        here.path("masks", name), header(catalogue, proposals.ids), fingerprint=here.fingerprint(*inputs)
    )
    chunks = id_chunks(labelled.ids)
    parts = run_chunks(
        _Collect(here, chunks),
        range(len(chunks)),
        f"classify_proposals {name}: regions",
        on_device=True,
        images=lambda k: len(chunks[k]),
    )
    bank = joined(parts, BankOptions(**entry.options))
    write_shards(writer, _Classify(here, bank), f"classify_proposals {name}", on_device=True)
    log.metrics({"images": len(proposals), "regions": len(bank.labels)})
