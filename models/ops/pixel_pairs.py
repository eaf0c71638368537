"""Pairs of pixels within a radius: which there are, their values as tensors, the cells of the segment between.

A pair has a source and a target that lies to the right or below. Sources keep away from the border (rows 0..h-r,
columns r-1..w-r), so that every source has all its targets; pixels near the border have fewer pairs (PSA, IRN).
"""

from __future__ import annotations

from functools import cache

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


def pair_sources(maps: Tensor, radius: int) -> Tensor:
    """Values of the sources, a view [...,h-r+1,w-2r+2] of ``maps`` [...,h,w]. ValueError where there is none."""
    return _shifted(maps, (0, 0), radius - 1)


def pair_targets(maps: Tensor, offsets: tuple[Offset, ...], radius: int) -> Tensor:
    """Values of the targets, a new axis of pairs before the map's: [...,P,h',w'] from ``maps`` [...,h,w]."""
    return torch.stack([_shifted(maps, offset, radius - 1) for offset in offsets], -3)


def _shifted(maps: Tensor, offset: Offset, margin: int) -> Tensor:
    height, width = maps.shape[-2:]
    if height <= margin or width <= 2 * margin:
        raise ValueError(f"a map of {height}x{width} has no pairs of radius {margin + 1}: see fitting_radius")
    dy, dx = offset
    return maps[..., dy : height - margin + dy, margin + dx : width - margin + dx]
