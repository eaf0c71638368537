"""Merge regions of an image across their weakest common boundaries, until few are left."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


def merge_regions(labels: Labels, edges: Floats, count: int, weakest: float = 0.0, area: float = 0.0) -> Labels:
    """Merge across the weakest boundary, again and again: a threshold on an ultrametric contour map.

    A boundary is as strong as the mean of its pixels, times ``(n / m)^area``, n the pixels of the smaller of its two
    regions and m those of an even share of the image. Boundaries weaker than ``weakest`` all go; then the weakest
    until at most ``count`` regions are left.

    Args:
        labels: int32 [H,W], regions.
        edges: float [H,W], strength of an edge at each pixel, 0 or more.
        count: most regions that may be left, 1 or more.
        weakest: strength below which a boundary goes in any case.
        area: 0 for the mean strength alone, which leaves specks beside one large region where edges are noisy.

    Returns:
        int32 [H,W], 0..R-1 in the order of their first pixel, row by row.
    """
    flat = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    graph = _Graph(_boundaries(flat, edges), (np.bincount(flat.ravel()) * (count / flat.size)).tolist(), area)
    parent = list(range(len(graph.sizes)))
    left = len(parent)
    while graph.queue and (left > count or graph.queue[0][0] < weakest):
        strength, one, other = heappop(graph.queue)
        if graph.strength(one, other) != strength:
            continue  # one of the two is gone, or has grown
        graph.join(one, other)
        parent[other] = one
        left -= 1
    return _numbered(np.array([_root(parent, label) for label in range(len(parent))])[flat])


Near = dict[int, dict[int, tuple[float, float]]]
"""Region -> neighbour -> (summed strength, length) of their boundary."""


class _Graph:
    """Regions, their sizes (1 for an even share), their boundaries, and a queue of these, the weakest first.

    An entry of the queue that no longer holds is passed over when it comes up: its boundary has another strength now.
    """

    def __init__(self, near: Near, sizes: list[float], area: float) -> None:
        self.near, self.sizes, self.area = near, sizes, area
        pairs = [(one, other) for one, others in near.items() for other in others if one < other]
        self.queue = [(self.strength(*pair), *pair) for pair in pairs]
        heapify(self.queue)

    def strength(self, one: int, other: int) -> float:
        """Of the boundary of two regions; -1 where they have none."""
        total, length = self.near.get(one, {}).get(other, (-1.0, 1.0))
        smaller: float = min(self.sizes[one], self.sizes[other]) ** self.area
        return total / length * smaller if total >= 0 else -1.0

    def join(self, one: int, other: int) -> None:
        """``other`` becomes part of ``one``; boundaries with a common neighbour become one."""
        del self.near[one][other]
        self.sizes[one] += self.sizes[other]
        for neighbour, (total, length) in self.near.pop(other).items():
            if neighbour != one:
                del self.near[neighbour][other]
                before = self.near[one].get(neighbour, (0.0, 0.0))
                joined = (before[0] + total, before[1] + length)
                self.near[one][neighbour] = self.near[neighbour][one] = joined
        for neighbour in self.near[one]:
            pair = min(one, neighbour), max(one, neighbour)
            heappush(self.queue, (self.strength(*pair), *pair))


def _boundaries(labels: npt.NDArray[np.intp], edges: Floats) -> Near:
    """Every pair of neighbouring pixels of different regions is a piece of boundary, as strong as the stronger one."""
    ones, others, strengths = [], [], []
    for axis in (0, 1):
        first, second = _neighbours(labels, axis)
        stronger = np.maximum(*_neighbours(edges, axis))
        differ = first != second
        ones.append(np.minimum(first, second)[differ])
        others.append(np.maximum(first, second)[differ])
        strengths.append(stronger[differ])
    one, other, strength = (np.concatenate(parts) for parts in (ones, others, strengths))
    pairs, place = np.unique(one * (int(labels.max()) + 1) + other, return_inverse=True)
    sums, lengths = np.bincount(place, strength), np.bincount(place)
    near: Near = {label: {} for label in range(int(labels.max()) + 1)}
    for pair, total, length in zip(pairs.tolist(), sums.tolist(), lengths.tolist(), strict=True):
        a, b = divmod(pair, len(near))
        near[a][b] = near[b][a] = (total, float(length))
    return near


def _neighbours(values: npt.NDArray[Any], axis: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return (values[:-1], values[1:]) if axis == 0 else (values[:, :-1], values[:, 1:])


def _root(parent: list[int], label: int) -> int:
    while parent[label] != label:
        label = parent[label]
    return label


def _numbered(labels: npt.NDArray[np.intp]) -> Labels:
    """Labels as 0..R-1 by first appearance."""
    _, first, place = np.unique(labels, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int32)
    numbers[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    numbered: Labels = numbers[place].reshape(labels.shape)
    return numbered
