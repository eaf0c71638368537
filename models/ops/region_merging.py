"""Merge regions of an image across their weakest common boundaries, until few are left."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


def merge_regions(labels: Labels, edges: Floats, count: int, weakest: float = 0.0) -> Labels:
    """Merge across the boundary of least mean strength, again and again: a threshold on an ultrametric contour map.

    Boundaries of less than ``weakest`` all go; then those of the least strength, until at most ``count`` regions are
    left. The strength of a merged boundary is the mean over its pixels.

    Args:
        labels: int32 [H,W], regions.
        edges: float [H,W], strength of an edge at each pixel, 0 or more.
        count: most regions that may be left, 1 or more.
        weakest: strength below which a boundary goes in any case.

    Returns:
        int32 [H,W], 0..R-1 in the order of their first pixel, row by row.
    """
    flat = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    regions = int(flat.max()) + 1
    boundaries = _boundaries(flat, edges)
    parent = list(range(regions))
    queue = [
        (total / length, one, other)
        for one, near in boundaries.items()
        for other, (total, length) in near.items()
        if one < other
    ]
    heapify(queue)
    while queue and (regions > count or queue[0][0] < weakest):
        strength, one, other = heappop(queue)
        now = boundaries.get(one, {}).get(other)
        if now is None or now[0] / now[1] != strength:
            continue  # one of the two is gone, or their boundary has grown
        _join(boundaries, queue, one, other)
        parent[other] = one
        regions -= 1
    return _numbered(np.array([_root(parent, label) for label in range(len(parent))])[flat])


Near = dict[int, dict[int, tuple[float, float]]]
"""Region -> neighbour -> (summed strength, length) of their boundary."""


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


def _join(boundaries: Near, queue: list[tuple[float, int, int]], one: int, other: int) -> None:
    """``other`` becomes part of ``one``; boundaries with a common neighbour become one."""
    del boundaries[one][other]
    for neighbour, (total, length) in boundaries.pop(other).items():
        if neighbour == one:
            continue
        del boundaries[neighbour][other]
        before = boundaries[one].get(neighbour, (0.0, 0.0))
        joined = (before[0] + total, before[1] + length)
        boundaries[one][neighbour] = boundaries[neighbour][one] = joined
        heappush(queue, (joined[0] / joined[1], min(one, neighbour), max(one, neighbour)))


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
