"""MaxBoxAcc: how often a score map's box is right, at the best of all thresholds (Choe et al. 2020).

V1 judges the box of the largest contour at IoU .5; V2 the best box of all contours at IoU .3, .5 and .7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from models.metrics.level_boxes import LEVELS, Contours, Levels

Fractions = npt.NDArray[np.float64]
Boxes = npt.NDArray[np.floating] | npt.NDArray[np.integer]

THRESHOLDS: Fractions = np.arange(0, 1, 0.001)
"""Shares of the map's maximum, 0 to .999."""


class BoxSweep:
    """Hits at every level of the maps and at each IoU; a threshold t is the level ``int(t * 255)``.

    Maps have 8 bits, so 1000 thresholds are 255 different ones.

    Attributes:
        ious: float64 [I], from which on a box matches.
        hits: int64 [I,255].
        images: how many have been added.
        each: of each image its hits, bits in uint8 [I,32].

    Source: docs/methods/evaluation.md, section 4 (wsolevaluation's BoxEvaluator).
    """

    def __init__(self, ious: Sequence[float]) -> None:
        self.ious: Fractions = np.asarray(ious, np.float64)
        self.hits = np.zeros((len(self.ious), LEVELS), np.int64)
        self.images = 0
        self.each: list[npt.NDArray[np.uint8]] = []

    def update(self, overlaps: Fractions, counts: bool = True) -> None:
        """Add one image.

        Args:
            overlaps: float64 [255], IoU of its box with the ground truth at each level.
            counts: False for an image that is wrong whatever its box.
        """
        hit = (overlaps >= self.ious[:, None]) & counts
        self.hits += hit
        self.images += 1
        self.each.append(np.packbits(hit, axis=1))

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``, made with the same IoUs."""
        self.hits += other.hits
        self.images += other.images
        self.each += other.each
        return self

    def right_at(self, thresholds: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """Whether each image is right at a threshold for each IoU, bool [N,I], from indices [I] of the curve."""
        levels = (THRESHOLDS * LEVELS).astype(np.int64)[thresholds]
        hits = np.unpackbits(np.stack(self.each), axis=2, count=LEVELS).astype(np.bool_)
        return hits[:, np.arange(len(levels)), levels]

    def curve(self) -> Fractions:
        """Share of the images that are right at each threshold, float64 [I,1000]."""
        return self.hits[:, (THRESHOLDS * LEVELS).astype(np.int64)] / max(self.images, 1)

    def best(self) -> npt.NDArray[np.intp]:
        """Index of the best threshold for each IoU, the lowest of equal ones, [I]."""
        index: npt.NDArray[np.intp] = self.curve().argmax(1)
        return index


def overlaps(levels: Levels, truth: Boxes) -> tuple[Fractions, Fractions]:
    """IoU of a map's boxes with the best of the boxes ``truth`` [G,4] at each level, 0 where there is no box.

    Args:
        levels: uint8 [H,W].
        truth: on the grid of ``levels``, at least one.

    Returns:
        Of the largest contour (V1), and the best of all contours (V2), float64 [255] each.
    """
    contours = Contours.of(levels)
    largest, every = contours.largest(), contours.every()
    first = np.where(largest[:, 2] > 0, box_iou(closed(largest, levels.shape), truth).max(1), 0)
    each = box_iou(closed(every.boxes, levels.shape), truth).max(1)
    level, index = every.at_levels()
    best = np.zeros(LEVELS)
    np.maximum.at(best, level, each[index])
    return first, best


def closed(boxes: npt.NDArray[np.int64], size: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Boxes [N,4] with their right and bottom within the last column and row of (H, W).

    Published boxes are (x, y, x + w, y + h) cut there, and are read as if their ends belonged to them.
    """
    height, width = size
    return np.minimum(boxes, [width, height, width - 1, height - 1])


def box_iou(boxes: Boxes, truth: Boxes) -> Fractions:
    """IoU of XYXY boxes [N,4] with [G,4], whose ends are pixels that belong to them: float64 [N,G].

    Source: docs/methods/evaluation.md, section 4 (wsolevaluation's calculate_multiple_iou).
    """
    a, b = boxes[:, None].astype(np.float64), truth[None].astype(np.float64)
    common = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    intersection = np.maximum(common, 0).prod(-1)
    union = (a[..., 2:] - a[..., :2] + 1).prod(-1) + (b[..., 2:] - b[..., :2] + 1).prod(-1) - intersection
    iou: Fractions = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return iou


def scaled_boxes(boxes: Boxes, size: tuple[int, int], target: tuple[int, int]) -> Boxes:
    """Boxes of an image (H, W) on a grid ``target`` (H, W), cut off to whole pixels as published, [N,4]."""
    if size == target:
        return boxes
    scaled: Fractions = np.trunc(boxes * np.array([*target[::-1]] * 2, np.float64) / np.array([*size[::-1]] * 2))
    return scaled


def rank_of(logits: npt.NDArray[np.floating], label: int) -> int:
    """How many classes come before ``label`` (1..C) in the logits [C]; of equal ones the first comes first."""
    logit = logits[label - 1]
    return int((logits > logit).sum() + (logits[: label - 1] == logit).sum())
