"""predict_masks: Checkpoint -> Masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.refiners.dense_crf import SegmentationCrf
from models.structures import Mask
from pipeline.binders.common import Log, Workspace, header, require_mask_classes, write_shards
from pipeline.book.params import Book
from pipeline.storage.stores import MaskStore


@dataclass(frozen=True)
class _Predict:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Mask]:
        from pipeline.compute.beside import processes_beside_gpu
        from pipeline.compute.runtime import device
        from stages.predict_masks import predict_masks

        entry, catalogue, device_here = self.here.entry, self.here.catalogue, device()
        method = self.here.network()
        crf = SegmentationCrf(**entry.crf) if entry.crf is not None else None
        samples = ((id, catalogue.image(id), None) for id in ids)
        elsewhere = processes_beside_gpu() if crf is not None else None
        for _, mask in predict_masks(
            samples, method, device=device_here, crf=crf, elsewhere=elsewhere, **entry.options
        ):
            yield mask


def run(book: Book, name: str, log: Log) -> None:
    """Write ``masks/NAME`` for every image of the entry's split."""
    here = Workspace(book, "predict_masks", name)
    entry, catalogue = here.entry, here.catalogue
    require_mask_classes(catalogue, f"predict_masks.{name}")
    writer = MaskStore.create(
        here.path("masks", name),
        header(catalogue, catalogue.ids(entry.split)),
        fingerprint=here.fingerprint(
            here.path("catalogues", entry.data) / "catalogue.json", here.path("checkpoints", entry.checkpoint)
        ),
    )
    write_shards(writer, _Predict(here), f"predict_masks {name}", on_device=True)
    log.metrics({"images": len(writer.header.ids)})
