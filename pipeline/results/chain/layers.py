"""Where the boxes of a graph stand: in rows, inputs above, each edge as straight as the boxes let it be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

SWEEPS = 200
UPRIGHT = 3.0
"""How much more an end of an edge that passes a row pulls than a box does."""
GAP = 28.0
"""Pixels between neighbours of a row."""
THIN = 10.0
"""Pixels that an edge takes where it passes a row."""

Point: TypeAlias = str | tuple[str, int]
"""A box, or (source, row) where edges from a source pass a row: they run together as far as they can."""


@dataclass(frozen=True)
class Layout:
    """Boxes and edges.

    Attributes:
        centres: name -> (x of the middle in pixels, row from 0).
        edges: for each the points (x, row) that it passes, from the source down to its reader.
        width: of the whole in pixels; the leftmost box begins at 0.
        rows: how many.
    """

    centres: Mapping[str, tuple[float, int]]
    edges: tuple[tuple[tuple[float, int], ...], ...]
    width: float
    rows: int


def lay_out(after: Mapping[str, Sequence[str]], widths: Mapping[str, float]) -> Layout:
    """Lay out a graph.

    Args:
        after: name -> the names that it waits for; each name after these.
        widths: of the boxes, in pixels.
    """
    row = _rows(after)
    paths = [_path(source, reader, row) for reader, above in after.items() for source in above]
    lines: list[list[Point]] = [
        [name for name in after if row[name] == number] for number in range(max(row.values()) + 1)
    ]
    for path in paths:
        for point in path[1:-1]:
            assert isinstance(point, tuple)
            if point not in lines[point[1]]:
                lines[point[1]].append(point)
    links: dict[Point, list[Point]] = {point: [] for line in lines for point in line}
    for path in paths:
        for upper, lower in pairwise(path):
            if lower not in links[upper]:
                links[upper].append(lower)
                links[lower].append(upper)
    size = {point: widths[point] if isinstance(point, str) else THIN for point in links}
    x = _positions(_ordered(lines, links), links, size)
    left = min(x[point] - size[point] / 2 for point in x)
    placed = {point: place - left for point, place in x.items()}
    at = {point: (placed[point], number) for number, line in enumerate(lines) for point in line}
    return Layout(
        {name: at[name] for name in after},
        tuple(tuple(at[point] for point in path) for path in paths),
        max(placed[point] + size[point] / 2 for point in placed),
        len(lines),
    )


def _rows(after: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Each as far down as its readers let it: weights stand right above the training that starts from them."""
    depth = dict.fromkeys(after, 0)
    for name in reversed(list(after)):
        for above in after[name]:
            depth[above] = max(depth[above], depth[name] + 1)
    return {name: max(depth.values()) - found for name, found in depth.items()}


def _path(source: str, reader: str, row: Mapping[str, int]) -> list[Point]:
    return [source, *((source, number) for number in range(row[source] + 1, row[reader])), reader]


def _ordered(lines: list[list[Point]], links: Mapping[Point, Sequence[Point]]) -> list[list[Point]]:
    """Each row sorted by the middle of its neighbours in the row before, downwards and upwards in turn."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for number in range(1, len(lines)) if down else range(len(lines) - 2, -1, -1):
            place = {point: index for index, point in enumerate(lines[number - 1 if down else number + 1])}
            wanted = {
                point: _middle([place[other] for other in links[point] if other in place], index)
                for index, point in enumerate(lines[number])
            }
            lines[number].sort(key=wanted.__getitem__)
    return lines


def _middle(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _positions(
    lines: list[list[Point]], links: Mapping[Point, Sequence[Point]], size: Mapping[Point, float]
) -> dict[Point, float]:
    """x of each middle: all edges together as upright as the rows allow, those that pass rows first."""
    weights = {
        point: [UPRIGHT ** (isinstance(point, tuple) + isinstance(other, tuple)) for other in others]
        for point, others in links.items()
    }
    x: dict[Point, float] = {}
    for line in lines:  # the middles of all rows above each other: from there it is not far
        places = _apart([(point, 0.0, 1.0) for point in line], size)
        middle = (places[line[0]] + places[line[-1]]) / 2
        x |= {point: place - middle for point, place in places.items()}
    for sweep in range(SWEEPS):
        for line in lines if sweep % 2 == 0 else reversed(lines):
            wanted = []
            for point in line:
                pull = sum(weights[point])
                drawn = sum(w * x[other] for w, other in zip(weights[point], links[point], strict=True))
                wanted.append((point, drawn / pull if pull else x[point], pull or 1.0))
            x |= _apart(wanted, size)
    return x


def _apart(line: Sequence[tuple[Point, float, float]], size: Mapping[Point, float]) -> dict[Point, float]:
    """The places nearest to the wanted ones that keep the order and the gaps of a row.

    Args:
        line: (point, wanted place, weight) from left to right; nearest is least squares with these weights.
        size: widths.
    """
    offsets = [0.0]
    for (left, *_), (right, *_) in pairwise(line):
        offsets.append(offsets[-1] + (size[left] + size[right]) / 2 + GAP)
    blocks: list[tuple[float, float, int]] = []  # (mean, weight, points) of those that stand as close as they may
    for (_, place, weight), offset in zip(line, offsets, strict=True):
        blocks.append((place - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (b, w, m), (a, v, n) = blocks.pop(), blocks.pop()
            blocks.append(((a * v + b * w) / (v + w), v + w, n + m))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return {point: mean + offset for (point, *_), mean, offset in zip(line, means, offsets, strict=True)}
