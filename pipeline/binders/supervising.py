"""What the two verbs that annotate images share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.ops.known_labels import filled_regions
from models.structures import BACKGROUND, UNLABELLED, Supervision
from pipeline.annotations.build import annotate_catalogue, annotated_ids, check_annotations
from pipeline.annotations.regions import Regions, RegionSource
from pipeline.binders.common import Log, Workspace, header, require_mask_classes, write_shards
from pipeline.compute.machine import free_memory
from pipeline.compute.runtime import workers
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.problems.notices import Notice, save_notices, warn_of
from pipeline.storage.stores import SupervisionStore

WITHOUT_CLASSES = ("tags", "boxes")
"""Kinds whose seeds name no class: they are not bound by what a mask can hold."""

BY_HAND = ("points", "scribbles", "shapes", "mixture")
"""Kinds that may label the background only where people marked it."""

SMALL = 2**24
"""Bytes of annotation files that every process may read."""
PARSED = 5
"""Bytes that a process needs for one byte of COCO's JSON, at most (docs/lab/2026-11-29_memory.md: 3.2 to 3.9)."""

LOOKED = 200
"""Images that are asked for a pixel of background."""


@dataclass(frozen=True)
class _Annotate:
    here: Workspace
    options: Mapping[str, Any]
    truth: Path | None

    def __call__(self, ids: tuple[str, ...]) -> Iterator[Supervision]:
        kind, catalogue = self.here.entry.kind, self.here.catalogue
        truth = None if self.truth is None else GroundTruth(catalogue, self.truth)
        regions = RegionSource.of(self.here.entry.regions, catalogue)
        for id, supervision in annotate_catalogue(kind, catalogue, truth, ids, self.options):
            yield supervision if regions is None else self._cut(supervision, regions(id))

    def _cut(self, supervision: Supervision, regions: Regions) -> Supervision:
        fill = self.here.entry.fill_regions
        seeds = filled_regions(supervision.seeds, regions) if fill else supervision.seeds
        return replace(supervision, seeds=seeds, segments=regions)


def write_supervision(
    here: Workspace, options: Mapping[str, Any], truth: Path | None, inputs: Sequence[Path], log: Log
) -> None:
    """Write ``supervision/NAME`` for every image of the entry's split, but for those that its options leave out.

    Args:
        options: of the entry's kind.
        truth: folder of the ground truth; None keeps it closed.
        inputs: what the content depends on, beside the catalogue.
    """
    catalogue, name = here.catalogue, here.name
    if here.entry.kind not in WITHOUT_CLASSES:
        require_mask_classes(catalogue, f"{here.verb}.{name}")
    ids = catalogue.ids(here.entry.split)
    fingerprint = here.fingerprint(here.path("catalogues", here.entry.data) / "catalogue.json", *inputs)
    notices = check_annotations(here.entry.kind, catalogue, ids, options, workers())
    regions = RegionSource.of(here.entry.regions, catalogue)
    notices += [] if regions is None else regions.check(ids)
    kept = header(catalogue, annotated_ids(here.entry.kind, catalogue, ids, options))
    writer = SupervisionStore.create(here.path("supervision", name), kept, fingerprint=fingerprint)

    def add_notices(whole: Path) -> None:
        notices.extend(_without_background(here, options, SupervisionStore(whole)))
        save_notices(whole, notices)

    processes = fitting(sum(path.stat().st_size for path in inputs if path.is_file()), free_memory())
    write_shards(writer, _Annotate(here, options, truth), f"{here.verb} {name}", add=add_notices, workers=processes)
    warn_of(notices)
    log.metrics({"images": len(writer.header.ids), "warnings": len(notices)})


def fitting(size: int, free: int | None) -> int | None:
    """Processes of which each can hold the annotation files as Python has them; None: as many as the machine has cores.

    Args:
        size: of the files, bytes.
        free: memory that is left, bytes; None where that is not known.

    Returns:
        0 where not two fit: this process has read the files already.
    """
    if free is None or size < SMALL:
        return None
    count = min(workers(), free // (PARSED * size))
    return count if count > 1 else 0


def _without_background(here: Workspace, options: Mapping[str, Any], store: SupervisionStore) -> list[Notice]:
    """What no label says, a network cannot learn: it would see objects everywhere."""
    kind = here.entry.kind
    if kind not in BY_HAND and not (kind == "boxes" and options.get("background", True)):
        return []
    looked = store.ids[:LOOKED]
    marked = kind == "boxes" and bool(looked)
    for id in looked:
        seeds = store[id].seeds
        if (seeds == BACKGROUND).any():
            return []
        marked |= bool((seeds != UNLABELLED).any())
    if not marked:  # tags alone
        return []
    text = (
        f"{here.verb}.{here.name}: no pixel of {len(looked)} images is background, so that a network taught by "
        f"it alone sees objects everywhere. Remedy: marks on the background, or let CAMs say where it "
        f"is: export_cams: {{supervision: {here.name}, keep_labels: true, ...}}, then the rule two_threshold."
    )
    if kind == "boxes":
        text = (
            f"{here.verb}.{here.name}: the boxes of {len(looked)} images leave no pixel of background. "
            "Remedy: see whether they are boxes of the objects and not of the whole images."
        )
    return [Notice("without_background", len(looked), text)]
