"""Regions as polygons without holes, which every labelling tool draws alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects
from skimage.measure import approximate_polygon, find_contours, label

from models.ops.run_lengths import Region
from pipeline.datasets.rle import of_polygons

Polygon = npt.NDArray[np.float64]
"""[N,2] x, y in pixels from the image's left and top edge; the middle of the first pixel is (0.5, 0.5)."""

LEAST_IOU = 0.99
"""Of a region and its polygons, however a tool decides on pixels that an edge runs through."""
CHECKED_IOU = 0.995
"""What a tolerance must leave where polygons are filled as COCO's tools fill them."""
FINEST = 1 / 8
"""Pixels: a tolerance below this changes nothing."""
NUDGE = np.array([0.05, 0.02])
"""Pixels in x and y; along no edge between corners or middles of pixels that are near each other."""


def outlines(region: Region, tolerance: float) -> Iterator[list[Polygon]]:
    """The polygons of each connected piece (4 neighbours) of a region bool [H,W].

    A piece with holes is cut through them, so that it has several polygons, which meet and do not overlap. A pixel
    belongs to a polygon where its middle lies within.

    Args:
        region: what is outlined.
        tolerance: pixels that an outline may stray (Douglas and Peucker); it is halved for a polygon that would have an
            IoU of less than :data:`CHECKED_IOU` with its region. 0 keeps every corner, and is exact.
    """
    for part, (top, left) in _pieces(region):
        cuts = _without_holes(part)
        yield [_outline(cut, tolerance) + np.array([left + x, top + y]) for cut, (y, x) in cuts]


def _pieces(region: Region) -> Iterator[tuple[Region, tuple[int, int]]]:
    """Each connected piece within its own rectangle, and where that begins (row, column)."""
    numbers = label(region, connectivity=1)
    for number, (rows, columns) in enumerate(find_objects(numbers), 1):
        yield numbers[rows, columns] == number, (rows.start, columns.start)


def _without_holes(piece: Region) -> Iterator[tuple[Region, tuple[int, int]]]:
    """The piece, cut along rows through its holes as often as it takes."""
    row = _row_of_hole(piece)
    if row is None:
        yield piece, (0, 0)
        return
    for first, half in ((0, piece[:row]), (row, piece[row:])):
        for part, (top, left) in _pieces(half):
            yield from ((cut, (first + top + y, left + x)) for cut, (y, x) in _without_holes(part))


def _row_of_hole(piece: Region) -> int | None:
    """A row of a hole, as near to the middle as holes have one; None without holes."""
    gaps = label(~np.pad(piece, 1), connectivity=2)
    holes = [rows for number, (rows, _) in enumerate(find_objects(gaps), 1) if number != gaps[0, 0]]
    middle = len(piece) // 2
    rows = [min(max(middle, hole.start - 1), hole.stop - 2) for hole in holes]  # without the margin
    return min(rows, key=lambda row: abs(row - middle), default=None)


def _outline(piece: Region, tolerance: float) -> Polygon:
    """The outline of a piece without holes; the last corner is not the first again.

    Straight sides are kept best by what goes through the corners of pixels, slanted ones by what goes through the
    middles of their sides, which does not stray to one side of the stairs: both are tried.
    """
    sides = _sides(piece)
    corners = _corners(sides)
    spare = piece.sum() * (1 - CHECKED_IOU)  # pixels that may change: none of a small piece
    while spare >= 1 and tolerance >= FINEST:
        tried: list[Polygon] = [approximate_polygon(line, tolerance)[:-1] for line in (corners, sides)]
        kept = [simple for simple in tried if len(simple) > 2 and _least_iou(simple, piece) >= CHECKED_IOU]
        if kept:
            return min(kept, key=len)
        tolerance /= 2
    exact: Polygon = approximate_polygon(corners, 1e-6)[:-1]  # without corners on a straight line
    return exact


def _sides(piece: Region) -> Polygon:
    """The middles of the sides of pixels along the border, [N,2] x, y, closed."""
    (sides,) = find_contours(np.pad(piece, 1).astype(np.float64), 0.5, fully_connected="low")
    closed: Polygon = sides[:, ::-1] - 0.5
    return closed


def _corners(sides: Polygon) -> Polygon:
    """The corners of pixels along the border, [N,2] x, y, closed, from one where the border turns.

    Two sides that follow each other share a corner: at an angle it is where their lines meet, in a line it is halfway.
    """
    here, there = sides[:-1], sides[1:]
    met = np.where(here % 1 == 0, here, np.where(there % 1 == 0, there, (here + there) / 2))
    before, after = np.roll(met, 1, axis=0), np.roll(met, -1, axis=0)
    first = int(np.flatnonzero((before != after).all(axis=1))[0])
    return np.concatenate([met[first:], met[: first + 1]])


def _least_iou(corners: Polygon, piece: Region) -> float:
    """Of the polygon shifted a little to either side: an edge that runs through middles of pixels counts against it."""
    return min(_iou(corners + shift, piece) for shift in (NUDGE, -NUDGE))


def _iou(corners: Polygon, piece: Region) -> float:
    drawn = of_polygons([corners.ravel()], piece.shape)
    return float((drawn & piece).sum() / (drawn | piece).sum())
