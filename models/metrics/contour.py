"""Boundary F-score over a data set."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import Counts, Fractions
from models.metrics.image_counts import ImageCounts
from models.structures import Mask

Binary = npt.NDArray[np.bool_]

BOUND_TH = 0.008
"""Share of the image diagonal within which two contours match."""


class ContourScore:
    """Boundary F-score (DAVIS-2017's), matches and totals of each class summed over the images.

    A boundary pixel is matched when the other mask's boundary of the same class is within ``ceil(bound_th * diagonal)``
    pixels. Truth 255 is background here, so that the void ring moves the contour inward, as published.

    Attributes:
        truth, prediction: int64 [C], boundary pixels of the ground truth and of the prediction.
        matched_truth, matched_prediction: int64 [C], how many of them are matched.

    Source: arvijj/hfpl@1038a68:contour_fscore.py.
    """

    def __init__(self, num_classes: int, bound_th: float = BOUND_TH) -> None:
        """``bound_th``: share of the image diagonal; from 1 on, pixels."""
        self.bound_th = bound_th
        self.truth, self.prediction, self.matched_truth, self.matched_prediction = np.zeros((4, num_classes), np.int64)

    def update(self, prediction: Mask, truth: Mask, present: npt.NDArray[np.intp] | None = None) -> ImageCounts:
        """Add one image.

        Args:
            prediction, truth: uint8 [H,W].
            present: labels that either of them has, where the caller knows; None looks for them.

        Returns:
            What it added, in the order of ``models.metrics.image_counts.BOUNDARY``, for each class with a boundary.

        Raises:
            ValueError: unequal shapes.
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction is {prediction.shape}, truth {truth.shape}")
        seen = np.union1d(prediction, truth) if present is None else present
        classes = [int(label) for label in seen if 1 <= label <= len(self.truth)]
        found = [contour_matches(prediction == label, truth == label, self.bound_th) for label in classes]
        counts = np.array(found, np.int64).reshape(-1, 4)[:, [3, 2, 1, 0]]
        labels = np.array(classes, np.int64)
        for total, count in zip(self._totals(), counts.T, strict=True):
            total[labels - 1] += count
        bounded = counts.any(1)
        return ImageCounts(labels[bounded], counts[bounded])

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``."""
        for total, more in zip(self._totals(), other._totals(), strict=True):
            total += more
        return self

    def f(self) -> Fractions:
        """F of each class [C]."""
        return f_score(*self._totals())

    def _totals(self) -> tuple[Counts, Counts, Counts, Counts]:
        return self.truth, self.prediction, self.matched_truth, self.matched_prediction


def f_score(
    truth: Counts | Fractions,
    prediction: Counts | Fractions,
    matched_truth: Counts | Fractions,
    matched_prediction: Counts | Fractions,
) -> Fractions:
    """F in [0,1] of boundary pixels and matched ones, of one shape: 1 where neither has a boundary, 0 where one has."""
    precision = np.where(prediction > 0, matched_prediction / np.maximum(prediction, 1), 1)
    recall = np.where(truth > 0, matched_truth / np.maximum(truth, 1), 1)
    total = precision + recall
    return np.where(total > 0, 2 * precision * recall / np.where(total > 0, total, 1), 0)


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
    rows, columns = _seen(prediction | truth)
    predicted, wanted = (contour(mask[rows, columns]) for mask in (prediction, truth))
    totals = int(np.count_nonzero(predicted)), int(np.count_nonzero(wanted))
    if not all(totals):
        return (0, 0, *totals)
    width = predicted.shape[1] + radius
    a, b = (_as_number(edge, width) for edge in (predicted, wanted))
    return ((a & _dilate(b, width, radius)).bit_count(), (b & _dilate(a, width, radius)).bit_count(), *totals)


def _seen(mask: Binary) -> tuple[slice, slice]:
    """Rows and columns of the part of [H,W] that has all the boundary: one pixel around what is set."""
    first_last = (np.flatnonzero(mask.any(axis))[[0, -1]] if mask.any() else (0, 0) for axis in (1, 0))
    rows, columns = (slice(max(int(first) - 1, 0), int(last) + 2) for first, last in first_last)
    return rows, columns


def _as_number(edge: Binary, width: int) -> int:
    """The pixels [h,w] as the bits of one whole number, rows of ``width`` bits: 64 pixels are moved at a time."""
    padded = np.zeros((edge.shape[0], width), np.bool_)
    padded[:, : edge.shape[1]] = edge
    return int.from_bytes(np.packbits(padded, bitorder="little").tobytes(), "little")


def _dilate(pixels: int, width: int, radius: int) -> int:
    """Dilation by a disk, from its widest row to its ends. ``radius`` free bits end each row: none spills over."""
    row, reach, dilated = pixels, 0, 0
    for up in range(radius, -1, -1):
        half = math.isqrt(radius**2 - up**2)
        for step in range(reach + 1, half + 1):
            row |= (pixels << step) | (pixels >> step)
        reach = half
        dilated |= (row << up * width) | (row >> up * width)
    return dilated
