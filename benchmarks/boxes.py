"""Boxes of score maps at all thresholds beside the plain loop over thresholds, in one run.

    python -m benchmarks.boxes             # maps of 224 x 224 and 375 x 500, about half a minute
    python -m benchmarks.boxes --maps 20

The loop labels and measures the map anew at each of the 1000 thresholds (scipy), and in another column at each of the
255 levels that they are; it finds the largest contour alone (V1), the trees all contours too (V2). Both give the same
largest boxes. Times are CPU seconds a map, the smallest of the repetitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from models.metrics.level_boxes import LEVELS, Contours, to_levels
from models.metrics.localisation import THRESHOLDS
from models.ops.resize import resize_bilinear


def cam(rng: np.random.Generator, size: tuple[int, int], grid: int = 28) -> np.ndarray:
    """A smooth map with a few peaks, enlarged from a network's grid, as 8 bits."""
    coarse = ndimage.gaussian_filter(rng.random((1, grid, grid)), (0, 2, 2))
    return to_levels(resize_bilinear(coarse.astype(np.float32), size)[0])


def plain_box(levels: np.ndarray, level: int) -> list[int]:
    """The box of the largest contour above a level: every piece is labelled, filled and measured."""
    pieces, _ = ndimage.label(levels > level, np.ones((3, 3)))
    best: tuple[float, int, list[int]] = (-1.0, -1, [0, 0, 0, 0])
    for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
        piece = ndimage.binary_fill_holes(pieces[rows, columns] == number)
        held = sum(c.astype(int) for c in (piece[:-1, :-1], piece[:-1, 1:], piece[1:, :-1], piece[1:, 1:]))
        area = float(np.sum(held == 4) + np.sum(held == 3) / 2)
        first = rows.start * levels.shape[1] + int(np.flatnonzero(pieces[rows.start] == number)[0])
        best = max(best, (area, first, [columns.start, rows.start, columns.stop, rows.stop]))
    return best[2]


def plain(levels: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The loop over ``cuts``, the level of each threshold."""
    return np.array([plain_box(levels, int(level)) for level in cuts])


def cpu_seconds(task: Callable[[], object], repetitions: int) -> float:
    """CPU seconds of the fastest repetition."""
    best = float("inf")
    for _ in range(repetitions):
        start = time.process_time()
        task()
        best = min(best, time.process_time() - start)
    return best


def tree(levels: np.ndarray) -> object:
    """What the metrics do: the largest contour and all contours, of every level."""
    contours = Contours.of(levels)
    return contours.largest(), contours.every()


def measure(size: tuple[int, int], count: int, cuts: np.ndarray) -> tuple[float, float, float]:
    """CPU seconds a map: trees, loop over the thresholds, loop over the levels."""
    rng = np.random.default_rng(0)
    maps = [cam(rng, size) for _ in range(count)]
    for levels in maps:
        assert np.array_equal(Contours.of(levels).largest()[cuts], plain(levels, cuts))
    tasks: tuple[tuple[Callable[[np.ndarray], object], int], ...] = (
        (tree, 3),
        (lambda m: plain(m, cuts), 1),
        (lambda m: plain(m, np.arange(LEVELS)), 1),
    )
    seconds = [cpu_seconds(lambda task=task: [task(m) for m in maps], times) / count for task, times in tasks]  # type: ignore[misc]
    return seconds[0], seconds[1], seconds[2]


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--maps", type=int, default=5)
    count = parser.parse_args().maps
    cuts = (THRESHOLDS * LEVELS).astype(np.int64)
    print(f"{'map':>9} {'trees':>9} {'loop 1000':>10} {'ratio':>7} {'loop 255':>9} {'ratio':>7}")
    for size in ((224, 224), (375, 500)):
        trees, every, distinct = measure(size, count, cuts)
        name = f"{size[0]}x{size[1]}"
        loops = f"{every:9.2f}s {every / trees:6.1f}x {distinct:8.2f}s {distinct / trees:6.1f}x"
        print(f"{name:>9} {trees:8.3f}s {loops}")


if __name__ == "__main__":
    main()
