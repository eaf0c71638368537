"""How well one image was segmented."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.metrics.confusion import ConfusionMatrix
from models.ops.background import class_map, winner
from models.ops.resize import resize_bilinear
from models.structures import Cam, Mask
from pipeline.compute.chunks import map_chunks
from pipeline.results.report.sources import Column, DataSet, Judge

CHUNK_SIZE = 64
FEW = 128
"""Up to so many images are not worth starting processes for."""


def image_iou(prediction: Mask, truth: Mask, num_classes: int) -> dict[int, float]:
    """IoU in [0,1] of each label that is in the prediction or in the truth, background (0) included.

    Args:
        prediction, truth: uint8 [H,W]. Truth 255 is not judged; a prediction of 254 or 255 is an error.
        num_classes: C.

    Returns:
        label to IoU; empty where the truth is void everywhere.
    """
    confusion = ConfusionMatrix(num_classes)
    confusion.update(prediction, truth)
    return {label: float(iou) for label, iou in enumerate(confusion.iou("skip")) if not np.isnan(iou)}


def mean_iou(iou: dict[int, float]) -> float | None:
    """Mean over the labels that are there; None where nothing was judged."""
    return sum(iou.values()) / len(iou) if iou else None


def as_mask(item: Any, threshold: float | None) -> Mask:
    """An item of a store as uint8 [H,W]: masks and seeds as they are, a CAM cut at ``threshold`` (.25 when None)."""
    if isinstance(item, Cam):
        scores = resize_bilinear(item.scores, item.size)
        return class_map(winner(scores, 0.25 if threshold is None else threshold), item.classes)
    mask: Mask = getattr(item, "seeds", item)
    return mask


@dataclass(frozen=True)
class _ScoreChunk:
    """Judges one chunk of a column's images; picklable."""

    work: str
    column: Column
    judge: Judge

    def __call__(self, k: int) -> list[tuple[str, float]]:
        return list(self._scores(k))

    @cached_property
    def _data(self) -> DataSet:
        return DataSet(self.work, self.column.data)

    def _scores(self, k: int) -> Iterator[tuple[str, float]]:
        data = self._data
        store = data.store(self.column.key)
        ids = [id for id in store.ids[k * CHUNK_SIZE : (k + 1) * CHUNK_SIZE] if data.has_truth(id)]
        for id, item in store.items(ids):
            mask = as_mask(item, self.judge.threshold)
            mean = mean_iou(image_iou(mask, data.truth.mask(id), data.catalogue.num_classes))
            if mean is not None:
                yield id, mean


def split_scores(work: str, column: Column, judge: Judge) -> dict[str, float]:
    """Mean IoU of every image of a column that has ground truth."""
    count = len(DataSet(work, column.data).store(column.key))
    chunks = range(-(-count // CHUNK_SIZE))
    by_chunk = map_chunks(_ScoreChunk(work, column, judge), chunks, f"judge {judge.name}", 0 if count <= FEW else None)
    return {id: mean for chunk in by_chunk for id, mean in chunk}
