"""export_cams: Checkpoint -> Cams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.ops.boxes import within_boxes
from models.ops.known_labels import with_labels
from models.structures import Cam
from pipeline.binders.common import Log, Workspace, header, write_shards
from pipeline.book.params import Book
from pipeline.storage.stores import CamStore, SupervisionStore


@dataclass(frozen=True)
class _Export:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Cam]:
        from pipeline.compute.runtime import device
        from stages.export_cams import export_cams

        entry, catalogue, device_here = self.here.entry, self.here.catalogue, device()
        tags = SupervisionStore.opened(self.here.path("supervision", entry.supervision))
        method = self.here.network()
        samples = ((id, catalogue.image(id), tags.tags(id)) for id in ids)
        for id, cam in export_cams(samples, method, device=device_here, **entry.options):
            known = self._boxed(id, cam, tags) if entry.boxes else cam
            yield with_labels(known, tags[id].seeds) if entry.keep_labels else known

    def _boxed(self, id: str, cam: Cam, supervision: SupervisionStore) -> Cam:
        known = supervision[id]
        if known.boxes is None or known.box_classes is None:
            raise DataError(
                f"export_cams.{self.here.name}.boxes: expected boxes in supervision '{self.here.entry.supervision}', "
                f"found none for image '{id}'. Remedy: name a supervision of the kind 'boxes', or leave `boxes` out."
            )
        return within_boxes(cam, known.boxes, known.box_classes)


def run(book: Book, name: str, log: Log) -> None:
    """Write ``cams/NAME`` for every image of the supervision."""
    here = Workspace(book, "export_cams", name)
    entry, catalogue = here.entry, here.catalogue
    source = here.path("supervision", entry.supervision)
    tags = SupervisionStore.opened(source)
    tags.require((), f"export_cams.{name}", catalogue.digest)
    writer = CamStore.create(
        here.path("cams", name),
        header(catalogue, tags.ids),
        [tuple(int(c) + 1 for c in np.flatnonzero(tags.tags(id))) for id in tags.ids],
        dtype=entry.dtype,
        fingerprint=here.fingerprint(source, here.path("checkpoints", entry.checkpoint)),
    )
    write_shards(writer, _Export(here), f"export_cams {name}", on_device=True)
    log.metrics({"images": len(tags), "maps": sum(len(keys) for keys in CamStore.opened(here.path("cams", name)).keys)})
