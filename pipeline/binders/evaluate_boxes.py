"""evaluate_boxes: Cams x Checkpoint x ground truth -> localisation metrics and their curve."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.metrics.image_counts import BOXES
from pipeline.annotations.boxes import around
from pipeline.annotations.common import objects
from pipeline.binders.common import Log, Workspace, id_chunks, span, split_of
from pipeline.book.params import Book
from pipeline.compute.chunks import run_chunks
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.storage.csv_cells import plain_cell
from pipeline.storage.stores import CamStore
from pipeline.storage.whole import whole_folder

if TYPE_CHECKING:
    from stages.evaluate_boxes import BoxSample, BoxScore, Localisation

MIN_AREA = 16
"""Smaller pieces of a mask, in pixels, are no objects, but for the largest of a class."""


@dataclass(frozen=True)
class _Score:
    """Counts one chunk of the images; picklable."""

    here: Workspace
    chunks: tuple[tuple[str, ...], ...]

    def __call__(self, k: int) -> BoxScore:
        from pipeline.compute.runtime import device
        from stages.evaluate_boxes import score_boxes

        entry, catalogue, device_here = self.here.entry, self.here.catalogue, device()
        method = self.here.network()
        return score_boxes(self._samples(catalogue, self.chunks[k]), method, device=device_here, **entry.options)

    def _samples(self, catalogue: Catalogue, ids: tuple[str, ...]) -> Iterator[BoxSample]:
        from stages.evaluate_boxes import BoxSample

        truth = GroundTruth(catalogue, self.here.path("ground_truth", self.here.entry.data))
        for id, cam in CamStore.opened(self.here.path("cams", self.here.entry.cams)).items(ids):
            yield BoxSample(id, cam, *true_boxes(catalogue, truth, id), partial(catalogue.image, id))


def true_boxes(
    catalogue: Catalogue, truth: GroundTruth, id: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Classes int64 [N] and boxes float32 [N,4] of an image's objects: the data set's own, or those of its mask.

    Of a mask the objects are its instances, or the connected pieces of each class.

    Raises:
        DataError: the image has neither boxes nor a mask, or boxes and no single tag that says of what.
    """
    boxes = truth.boxes(id)
    if boxes is None:
        regions = [around(region) for region in objects(truth.mask(id), truth.instances(id), MIN_AREA)]
        corners = np.array([box.corners for box in regions], np.float32).reshape(-1, 4)
        return np.array([box.class_ for box in regions], np.int64), corners
    tags = catalogue.entry(id).tags or ()
    if len(tags) != 1:
        raise DataError(f"Image '{id}' has boxes: expected one tag that says of what, found {list(tags)}.")
    return np.full(len(boxes), tags[0], np.int64), boxes


def run(book: Book, name: str, log: Log) -> None:
    """Write ``localisations/NAME``: metrics.json, thresholds.csv, images.csv."""
    here = Workspace(book, "evaluate_boxes", name)
    entry, catalogue = here.entry, here.catalogue
    cams = CamStore.opened(here.path("cams", entry.cams))
    cams.require((), f"evaluate_boxes.{name}", catalogue.digest)
    chunks = id_chunks(cams.ids)
    scores: list[BoxScore] = run_chunks(
        _Score(here, chunks), range(len(chunks)), f"evaluate_boxes {name}", on_device=True,
        describe=lambda k: span(chunks[k]), images=lambda k: len(chunks[k]),
    )  # fmt: skip
    localisation = reduce(lambda a, b: a.merge(b), scores).localisation()
    labels = {"cams": entry.cams, "checkpoint": entry.checkpoint, "split": split_of(catalogue.splits, cams.ids)}
    with whole_folder(here.path("localisations", name)) as folder:
        _write(folder, localisation, labels, catalogue.class_names)
    log.metrics(localisation.metrics)
    log.tags(labels)


def _write(folder: Path, localisation: Localisation, labels: dict[str, str], class_names: Sequence[str]) -> None:
    content = json.dumps({**labels, **localisation.metrics}, indent=1, sort_keys=True)
    (folder / "metrics.json").write_text(content + "\n", encoding="utf-8")
    _write_table(folder / "thresholds.csv", [localisation.columns, *localisation.rows])
    named = ((id, class_names[int(label) - 1], *counts) for id, label, *counts in localisation.images)
    _write_table(folder / "images.csv", [("image", "label", *BOXES), *named])


def _write_table(path: Path, rows: Iterable[Sequence[str | int | float]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(map(plain_cell, row) for row in rows)
