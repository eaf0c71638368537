"""make_pseudo_masks: Cams -> Supervision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from models.doors import resolve
from models.rules import RULES
from models.structures import Supervision
from pipeline.annotations.regions import RegionSource
from pipeline.binders.common import Log, Workspace, header, require_mask_classes, write_shards
from pipeline.book.params import Book
from pipeline.storage.stores import CamStore, SupervisionStore
from stages.make_pseudo_masks import make_pseudo_masks


@dataclass(frozen=True)
class _Make:
    here: Workspace

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Supervision]:
        entry, catalogue = self.here.entry, self.here.catalogue
        rule = resolve(RULES, entry.rule, "rule")(**entry.options)
        cams = CamStore.opened(self.here.path("cams", entry.cams))
        samples = (
            (id, partial(catalogue.image, id), cam, np.isin(np.arange(1, catalogue.num_classes + 1), cam.classes))
            for id, cam in cams.items(ids)
        )
        regions = RegionSource.of(entry.regions, catalogue)
        for id, supervision in make_pseudo_masks(samples, rule):
            yield supervision if regions is None else replace(supervision, segments=regions(id))


def run(book: Book, name: str, log: Log) -> None:
    """Write ``supervision/NAME``."""
    here = Workspace(book, "make_pseudo_masks", name)
    entry, catalogue = here.entry, here.catalogue
    require_mask_classes(catalogue, f"make_pseudo_masks.{name}")
    source = here.path("cams", entry.cams)
    cams = CamStore.opened(source)
    cams.require((), f"make_pseudo_masks.{name}", catalogue.digest)
    writer = SupervisionStore.create(
        here.path("supervision", name), header(catalogue, cams.ids), fingerprint=here.fingerprint(source)
    )
    write_shards(writer, _Make(here), f"make_pseudo_masks {name}")
    log.metrics({"images": len(cams)})
