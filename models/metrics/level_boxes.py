"""Boxes around what lies above each level of a score map, from component trees instead of a labelling a level.

A piece that does not change from one level to the next is one node of the tree: it is measured once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import max_tree

Levels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

LEVELS = 255
"""A map of 8 bits is cut at the levels 0 to 254: what is above level l are the pixels with a value > l."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Contours of a map cut at every level, each with the levels at which it is there.

    Attributes:
        boxes: int64 [N,4] XYXY in pixels, right and bottom exclusive.
        first, stop: int64 [N]; the contour is there at the levels first..stop-1.
    """

    boxes: Numbers
    first: Numbers
    stop: Numbers

    def at_levels(self) -> tuple[Numbers, Numbers]:
        """(level, number of the contour) of every pair that there is, both int64 [M]."""
        lengths = self.stop - self.first
        index = np.repeat(np.arange(len(lengths)), lengths)
        start = np.repeat(self.first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        return start + np.arange(len(index)), index


def to_levels(scores: npt.NDArray[np.float32]) -> Levels:
    """A map float32 [H,W], scaled from its minimum to its maximum, in 255 steps cut off: uint8 [H,W].

    A map of one value becomes zeros, above which there is nothing at any level.

    Source: docs/methods/evaluation.md, section 4 (wsolevaluation's normalize_scoremap).
    """
    low, high = scores.min(), scores.max()
    if not low < high:
        return np.zeros(scores.shape, np.uint8)
    scaled = scores - low
    scaled /= scaled.max()
    levels: Levels = (scaled * 255).astype(np.uint8)
    return levels


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """The contours of a map at all levels.

    Pixels of a piece touch at a side or a corner, those of a hole at a side. The contour of a hole runs over the pixels
    around it, so its box is one pixel larger on each side.
    """

    levels: Levels
    tree: _Tree
    pieces: Pieces
    holes: Pieces

    @classmethod
    def of(cls, levels: Levels) -> Contours:
        """Find them in uint8 [H,W]."""
        roomy = _roomy(levels)
        tree, below = _Tree.of(roomy, connectivity=2), _Tree.of(255 - roomy, connectivity=1).pieces()
        size = np.array(roomy.shape[::-1])
        inside = (below.boxes[:, :2] > 0).all(1) & (below.boxes[:, 2:] < size).all(1)
        boxes = below.boxes[inside] + np.array([-1, -1, 1, 1])
        return cls(roomy, tree, tree.pieces(), Pieces(boxes, 255 - below.stop[inside], 255 - below.first[inside]))

    def largest(self) -> Numbers:
        """The box of the largest contour at each level: int64 [255,4] XYXY, zeros where nothing is above the level.

        That of the largest area of the polygon through the centres of a piece's outer pixels, holes filled, as
        ``cv2.contourArea`` measures it; of equal ones that whose first pixel comes last in reading order, which
        ``cv2.findContours`` (OpenCV 4) lists first.
        """
        least = _double_areas(self.levels, self.tree)
        width, height = (self.pieces.boxes[:, 2:] - self.pieces.boxes[:, :2] - 1).T
        most = 2 * width * height
        level, index = self.pieces.at_levels()
        bound = np.zeros(LEVELS, np.int64)
        np.maximum.at(bound, level, least[index])
        may = most[index] >= bound[level]
        level, index = level[may], index[may]
        with_holes = np.zeros(LEVELS, np.bool_)
        with_holes[self.holes.at_levels()[0]] = True
        unsure = (np.bincount(level, minlength=LEVELS)[level] > 1) & with_holes[level] & (least[index] < most[index])
        for node in np.unique(index[unsure]).tolist():
            least[node] = _filled_double_area(self.levels, self.tree, node)
        order = np.lexsort((self.tree.leader[index], least[index], level))  # the last of a level is its largest
        level, index = level[order], index[order]
        last = np.flatnonzero(np.diff(level, append=LEVELS))
        boxes = np.zeros((LEVELS, 4), np.int64)
        boxes[level[last]] = self.pieces.boxes[index[last]]
        return boxes

    def every(self) -> Pieces:
        """Around each piece and each hole: the boxes of all contours of ``cv2.findContours`` with RETR_TREE."""
        pairs = zip(
            (self.pieces.boxes, self.pieces.first, self.pieces.stop),
            (self.holes.boxes, self.holes.first, self.holes.stop),
            strict=True,
        )
        return Pieces(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """The connected pieces of {value > level} of a map, each a node; parents come before their children.

    Attributes:
        home: int64 [H*W], the smallest piece that holds each pixel.
        parent: int64 [N]; the root's is itself.
        value: int64 [N]; the piece is there from its parent's value to below its own.
        leader: int64 [N], its first pixel in reading order.
        boxes: int64 [N,4] XYXY, right and bottom exclusive.
    """

    home: Numbers
    parent: Numbers
    value: Numbers
    leader: Numbers
    boxes: Numbers

    @classmethod
    def of(cls, levels: Levels, connectivity: int) -> _Tree:
        """Build it for uint8 [H,W]; connectivity 1 (sides) or 2 (corners too)."""
        up, order = max_tree(levels, connectivity=connectivity)  # wants three pixels each way, see _roomy
        flat, up = levels.ravel(), up.ravel()
        representative = flat[up] != flat
        representative[order[0]] = True
        nodes = order[representative[order]]
        number = np.zeros(flat.size, np.int64)
        number[nodes] = np.arange(len(nodes))
        home = np.where(representative, number, number[up])
        parent = number[up[nodes]]
        return cls(home, parent, flat[nodes].astype(np.int64), *_extents(home, parent, levels.shape[1]))

    def pieces(self) -> Pieces:
        """The nodes that are there at some level (all but a root of value 0), in the order of the tree."""
        first = self.value[self.parent]
        first[0] = 0
        return Pieces(self.boxes, first, self.value)

    def summed(self, counts: Numbers) -> Numbers:
        """Sums over each piece of what belongs to its nodes, int64 [N]."""
        total: list[int] = counts.tolist()
        parent: list[int] = self.parent.tolist()
        for node in range(len(total) - 1, 0, -1):
            total[parent[node]] += total[node]
        return np.array(total, np.int64)


def _roomy(levels: Levels) -> Levels:
    """At least three pixels each way, zeros below and to the right, which are above no level and close no hole."""
    missing = [max(3 - length, 0) for length in levels.shape]
    return np.pad(levels, [(0, missing[0]), (0, missing[1])]) if any(missing) else levels


def _extents(home: Numbers, parent: Numbers, width: int) -> tuple[Numbers, Numbers]:
    """First pixel and box of every piece."""
    order = np.argsort(home, kind="stable")
    starts = np.searchsorted(home[order], np.arange(len(parent)))
    rows, columns = np.divmod(order, width)
    lists = [
        np.minimum.reduceat(order, starts).tolist(),
        np.minimum.reduceat(columns, starts).tolist(),
        np.minimum.reduceat(rows, starts).tolist(),
        np.maximum.reduceat(columns, starts).tolist(),
        np.maximum.reduceat(rows, starts).tolist(),
    ]
    leader, left, top, right, bottom = lists
    above: list[int] = parent.tolist()
    for node in range(len(above) - 1, 0, -1):
        up = above[node]
        leader[up] = min(leader[up], leader[node])
        left[up], top[up] = min(left[up], left[node]), min(top[up], top[node])
        right[up], bottom[up] = max(right[up], right[node]), max(bottom[up], bottom[node])
    corners = np.array([left, top, right, bottom], np.int64).T
    return np.array(leader, np.int64), corners + np.array([0, 0, 1, 1])


def _double_areas(levels: Levels, tree: _Tree) -> Numbers:
    """Twice the area of the polygon through the centres of each piece's border pixels, less its holes' polygons, [N].

    Of each square of four pixels it holds all when the lowest of them is in the piece, and half when only the second
    lowest is: two sums over the tree.
    """
    halves = np.zeros(len(tree.parent), np.int64)
    key = levels.astype(np.uint16) << 2
    a, b, c, d = key[:-1, :-1], key[:-1, 1:] | 1, key[1:, :-1] | 2, key[1:, 1:] | 3
    low, high = np.minimum(a, b), np.maximum(a, b)
    low2, high2 = np.minimum(c, d), np.maximum(c, d)
    lowest = np.minimum(low, low2)
    second = np.minimum(np.maximum(low, low2), np.minimum(high, high2))
    home = tree.home.reshape(levels.shape)
    corners = np.stack([home[:-1, :-1], home[:-1, 1:], home[1:, :-1], home[1:, 1:]]).reshape(4, -1)
    squares = np.arange(corners.shape[1])
    for chosen in (lowest, second):
        halves += np.bincount(corners[chosen.ravel() & 3, squares], minlength=len(halves))
    return tree.summed(halves)


def _filled_double_area(levels: Levels, tree: _Tree, node: int) -> int:
    """As :func:`_double_areas` for one piece, its holes filled."""
    left, top, right, bottom = tree.boxes[node]
    above = levels[top:bottom, left:right] > (tree.value[tree.parent[node]] if node else 0)
    numbers, _ = ndimage.label(above, np.ones((3, 3)))
    y, x = divmod(int(tree.leader[node]), levels.shape[1])
    piece = ndimage.binary_fill_holes(numbers == numbers[y - top, x - left])
    corners = (piece[:-1, :-1], piece[:-1, 1:], piece[1:, :-1], piece[1:, 1:])
    held = np.bincount(sum(corner.astype(np.intp) for corner in corners).ravel(), minlength=5)
    return int(2 * held[4] + held[3])
