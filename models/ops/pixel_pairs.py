"""Pairs of pixels within a radius: which there are, their values as tensors, the cells of the segment between.

A pair has a source and a target that lies to the right or below. Sources keep away from the border (rows 0..h-r,
columns r-1..w-r), so that every source has all its targets; pixels near the border have fewer pairs (PSA, IRN).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Offset = tuple[int, int]
"""(dy, dx) from source to target."""


@cache
def pair_offsets(radius: int) -> tuple[Offset, ...]:
    """Half of the disc of ``radius`` (exclusive): the row to the right, then each row below; 34 pairs for radius 5.

    Source: jiwoon-ahn/psa@9493e59:tool/pyutils.py.
    """
    ahead = [(0, dx) for dx in range(1, radius)]
    below = [(dy, dx) for dy in range(1, radius) for dx in range(1 - radius, radius)]
    return tuple(ahead + [(dy, dx) for dy, dx in below if dy * dy + dx * dx < radius * radius])


@cache
def circle_offsets(radius: int) -> tuple[Offset, ...]:
    """The whole disc but its centre, row by row (arvijj/hfpl@1038a68:tool/pyutils.py)."""
    span = range(1 - radius, radius)
    disc = [(dy, dx) for dy in span for dx in span if 0 < dy * dy + dx * dx < radius * radius]
    return tuple(disc)


@cache
def pair_paths(radius: int) -> tuple[tuple[Offset, ...], ...]:
    """The cells of each pair's segment, target first, source last; shorter paths come first.

    A cell is on the path when its centre is nearer than 1 to the segment, within the segment's bounding box.
    ``path[0]`` of each are the offsets of :func:`pair_offsets` in IRN's order.

    Source: jiwoon-ahn/irn@a2ece00:misc/indexing.py (PathIndex).
    """
    return tuple(sorted((_path(offset) for offset in pair_offsets(radius)), key=len))


def _path(offset: Offset) -> tuple[Offset, ...]:
    dy, dx = offset
    box = [(y, x) for y in range(dy + 1) for x in range(min(0, dx), max(0, dx) + 1)]
    near = [(y, x) for y, x in box if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]
    return tuple(sorted(near, key=lambda cell: -(cell[0] ** 2 + cell[1] ** 2)))


def fitting_radius(size: tuple[int, int], radius: int) -> int:
    """The largest radius up to ``radius`` that leaves a map of ``size`` at least one source; 1 has no pairs.

    Source: arvijj/hfpl@1038a68:network/resnet38_aff.py.
    """
    return max(1, min(radius, (min(size) - 1) // 2))


def pair_sources(maps: Tensor, radius: int, *, around: bool = False) -> Tensor:
    """Values of the sources, a view [...,h-r+1,w-2r+2] of ``maps`` [...,h,w].

    Args:
        around: for :func:`circle_offsets`: sources keep away from the upper border too, [...,h-2r+2,w-2r+2].
    """
    margin = radius - 1
    return _shifted(maps, (0, 0), margin, around)


def pair_targets(maps: Tensor, offsets: tuple[Offset, ...], radius: int, *, around: bool = False) -> Tensor:
    """Values of the targets, a new axis of pairs before the map's: [...,P,h',w'] from ``maps`` [...,h,w]."""
    return torch.stack([_shifted(maps, offset, radius - 1, around) for offset in offsets], -3)


def _shifted(maps: Tensor, offset: Offset, margin: int, around: bool) -> Tensor:
    height, width = maps.shape[-2:]
    if height <= margin or width <= 2 * margin or (around and height <= 2 * margin):
        raise ValueError(f"a map of {height}x{width} has no pairs of radius {margin + 1}: see fitting_radius")
    dy, dx = offset
    top = margin if around else 0
    return maps[..., top + dy : height - margin + dy, margin + dx : width - margin + dx]


def pair_indices(
    size: tuple[int, int], offsets: tuple[Offset, ...], radius: int, *, around: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Flat row-major indices of the sources, int64 [S], and of their targets, int64 [P,S]."""
    cells = torch.arange(size[0] * size[1]).view(size)
    sources = pair_sources(cells, radius, around=around).flatten()
    targets = pair_targets(cells, offsets, radius, around=around).flatten(1)
    return sources.numpy(), targets.numpy()
