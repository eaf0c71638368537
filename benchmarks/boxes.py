"""Largest boxes of a score map at all thresholds, from a component tree, beside the plain loop over thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from benchmarks.frame import Case, Results
from models.metrics.level_boxes import LEVELS, Contours, to_levels
from models.metrics.localisation import THRESHOLDS
from models.ops.resize import resize_bilinear


@dataclass(frozen=True)
class Inputs:
    """A map in 255 steps, uint8 [H,W], and the levels at which it is cut."""

    levels: np.ndarray
    cuts: np.ndarray


def at_thresholds(height: int, width: int, every: int) -> Inputs:
    """A smooth map with a few peaks, cut at each of the 1000 thresholds, or at each ``every``-th of them."""
    return Inputs(_cam(height, width), (THRESHOLDS * LEVELS).astype(np.int64)[::every])


def at_levels(height: int, width: int, every: int) -> Inputs:
    """The same, cut once at each of the 255 levels, more of which a map of 8 bits does not have."""
    return Inputs(_cam(height, width), np.arange(0, LEVELS, every))


def _cam(height: int, width: int) -> np.ndarray:
    coarse = ndimage.gaussian_filter(np.random.default_rng(0).random((1, 28, 28)), (0, 2, 2))
    return to_levels(resize_bilinear(coarse.astype(np.float32), (height, width))[0])


def tree(x: Inputs) -> Results:
    """A component tree: a piece that does not change from level to level is measured once."""
    return {"boxes": Contours.of(x.levels).largest()[x.cuts]}


def loop(x: Inputs) -> Results:
    """The map is labelled anew at each cut (scipy); every piece is filled and measured, the largest gives the box.

    Source: docs/methods/evaluation.md, section 4.
    """
    return {"boxes": np.array([_box(x.levels, int(level)) for level in x.cuts])}


def _box(levels: np.ndarray, level: int) -> list[int]:
    """XYXY of the largest contour above a level."""
    pieces, _ = ndimage.label(levels > level, np.ones((3, 3)))
    best: tuple[float, int, list[int]] = (-1.0, -1, [0, 0, 0, 0])
    for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
        piece = ndimage.binary_fill_holes(pieces[rows, columns] == number)
        held = sum(c.astype(int) for c in (piece[:-1, :-1], piece[:-1, 1:], piece[1:, :-1], piece[1:, 1:]))
        area = float(np.sum(held == 4) + np.sum(held == 3) / 2)
        first = rows.start * levels.shape[1] + int(np.flatnonzero(pieces[rows.start] == number)[0])
        best = max(best, (area, first, [columns.start, rows.start, columns.stop, rows.stop]))
    return best[2]


SIZE, QUICK = {"height": 224, "width": 224, "every": 1}, {"height": 40, "width": 50, "every": 10}
CASES = {
    "thresholds": Case("Largest boxes at 1000 thresholds", at_thresholds, tree, loop, SIZE, QUICK, 0, repetitions=3),
    "levels": Case("Largest boxes at 255 levels", at_levels, tree, loop, SIZE, QUICK, 0, repetitions=3),
}
