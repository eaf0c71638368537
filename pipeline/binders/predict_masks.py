"""predict_masks: Checkpoint -> Masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.refiners.dense_crf import SegmentationCrf
from models.structures import Mask
from pipeline.binders.common import Log, Workspace, header, write_parts
from pipeline.params import Book
from pipeline.stores import MaskStore


@dataclass(frozen=True)
class _Predict:
    here: Workspace
    device: str

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Mask]:
        from pipeline.checkpoints import load_method
        from stages.predict_masks import predict_masks

        entry, catalogue = self.here.entry, self.here.catalogue
        checkpoint = self.here.path("checkpoints", entry.checkpoint)
        method: Any = load_method(checkpoint, catalogue.class_names).to(self.device)
        crf = SegmentationCrf(**entry.crf) if entry.crf is not None else None
        samples = ((id, catalogue.image(id), None) for id in ids)
        for _, mask in predict_masks(samples, method, device=self.device, crf=crf, **entry.options):
            yield mask


def run(book: Book, name: str, log: Log) -> None:
    """Write ``masks/NAME`` for every image of the entry's split."""
    from pipeline import runtime

    here = Workspace(book, "predict_masks", name)
    entry, catalogue = here.entry, here.catalogue
    writer = MaskStore.create(
        here.path("masks", name),
        header(catalogue, catalogue.ids(entry.split)),
        fingerprint=here.fingerprint(
            here.path("catalogues", entry.data) / "catalogue.json", here.path("checkpoints", entry.checkpoint)
        ),
    )
    device = runtime.device()
    write_parts(writer, _Predict(here, device), f"predict_masks {name}", workers=None if device == "cpu" else 0)
    log.metrics({"images": len(writer.header.ids)})
