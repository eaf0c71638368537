"""Boundary F-score over a data set."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import Counts, Fractions
from models.structures import Mask

Binary = npt.NDArray[np.bool_]


class ContourScore:
    """Boundary F-score (DAVIS-2017's), matches and totals of each class summed over the images.

    A boundary pixel is matched when the other mask's boundary of the same class is within ``ceil(bound_th * diagonal)``
    pixels. Truth 255 is background here, so that the void ring moves the contour inward, as published.

    Attributes:
        matched_prediction, prediction: int64 [C], matched and all boundary pixels of the prediction.
        matched_truth, truth: int64 [C], the same of the ground truth.

    Source: arvijj/hfpl@1038a68:contour_fscore.py.
    """

    def __init__(self, num_classes: int, bound_th: float = 0.008) -> None:
        """``bound_th``: share of the image diagonal; from 1 on, pixels."""
        self.bound_th = bound_th
        self.matched_prediction, self.matched_truth, self.prediction, self.truth = np.zeros((4, num_classes), np.int64)

    def update(self, prediction: Mask, truth: Mask) -> None:
        """Add one image; both uint8 [H,W].

        Raises:
            ValueError: unequal shapes.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction is {prediction.shape}, truth {truth.shape}")
        present = np.flatnonzero(
            np.bincount(prediction.ravel(), minlength=256) + np.bincount(truth.ravel(), minlength=256)
        )
        for label in present:
            if 1 <= label <= len(self.truth):
                counts = contour_matches(prediction == label, truth == label, self.bound_th)
                for total, count in zip(self._totals(), counts, strict=True):
                    total[label - 1] += count

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``."""
        for total, more in zip(self._totals(), other._totals(), strict=True):
            total += more
        return self

    def f(self) -> Fractions:
        """F of each class [C]: 1 where neither mask has a contour of it, 0 where only one has."""
        precision = np.where(self.prediction > 0, self.matched_prediction / np.maximum(self.prediction, 1), 1)
        recall = np.where(self.truth > 0, self.matched_truth / np.maximum(self.truth, 1), 1)
        total = precision + recall
        return np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), 0)

    def _totals(self) -> tuple[Counts, Counts, Counts, Counts]:
        return self.matched_prediction, self.matched_truth, self.prediction, self.truth


def contour(mask: Binary) -> Binary:
    """Pixels that differ from their right, lower or lower-right neighbour, bool [H,W].

    The last row looks to the right only, the last column down only, the corner at nothing.
    """
    edge = np.zeros_like(mask)
    right, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edge[:, :-1] |= right
    edge[:-1] |= down
    edge[:-1, :-1] |= mask[1:, 1:] != mask[:-1, :-1]
    return edge


def match_radius(shape: tuple[int, ...], bound_th: float) -> int:
    """Tolerance in pixels: ``bound_th`` itself from 1 on, else that share of the diagonal, rounded up."""
    return math.ceil(bound_th if bound_th >= 1 else bound_th * float(np.linalg.norm(shape)))


def contour_matches(prediction: Binary, truth: Binary, bound_th: float) -> tuple[int, int, int, int]:
    """Matched prediction, matched truth, prediction and truth boundary pixels of one pair of masks [H,W]."""
    radius = match_radius(truth.shape, bound_th)
    predicted, wanted = contour(prediction), contour(truth)
    totals = int(np.count_nonzero(predicted)), int(np.count_nonzero(wanted))
    if not all(totals):
        return (0, 0, *totals)
    return (
        int(np.count_nonzero(predicted & _dilate(wanted, radius))),
        int(np.count_nonzero(wanted & _dilate(predicted, radius))),
        *totals,
    )


def _dilate(edge: Binary, radius: int) -> Binary:
    """Dilation by a disk, painted pixel by pixel: a contour has few of them."""
    padded = np.zeros((edge.shape[0] + 2 * radius, edge.shape[1] + 2 * radius), np.bool_)
    y, x = np.nonzero(edge)
    at = (y + radius) * padded.shape[1] + x + radius
    reach = np.arange(-radius, radius + 1)
    dy, dx = np.nonzero(reach[:, None] ** 2 + reach**2 <= radius**2)
    flat = padded.reshape(-1)
    for step in (dy - radius) * padded.shape[1] + dx - radius:
        flat[at + step] = True
    return padded[radius : radius + edge.shape[0], radius : radius + edge.shape[1]]
