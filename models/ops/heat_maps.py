"""Heat maps of classes: cosines between the features of an image and the mean feature of each class's seeds (DHR)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.transport import balanced, transport_plan
from models.structures import IGNORE

ALIKE = 0.8
"""Cosine of two prototypes above which features cannot tell their classes apart (DHR's tau)."""


def cell_majority(labels: Tensor, grid: Sequence[int], multiple: Sequence[int]) -> Tensor:
    """The most frequent label of each cell, the smallest of several; 255 counts as a label.

    Args:
        labels: int64 [H,W].
        grid: (h, w) of the cells.
        multiple: the label map is enlarged to the next multiple (by nearest pixels), so that cells are whole.

    Returns:
        int64 [h,w].
    """
    enlarged = labels
    blocks = []
    for axis, (cells, step) in enumerate(zip(grid, multiple, strict=True)):
        source = labels.shape[axis]
        length = -(-source // step) * step
        nearest = torch.tensor([int(i * (source / length)) for i in range(length)], device=labels.device)
        enlarged = enlarged.index_select(axis, nearest.clamp(max=source - 1))
        starts = torch.tensor([int(cell / cells * length) for cell in range(cells)], device=labels.device)
        blocks.append(starts[:, None] + torch.arange(length // cells, device=labels.device))  # [cells, block]
    rows, columns = blocks
    within = enlarged[rows[:, :, None, None], columns[None, None]]  # [h,block,w,block]
    present = labels.unique()
    counts = torch.stack([(within == value).sum((1, 3)) for value in present])
    majority: Tensor = present[counts.argmax(0)]
    return majority


def class_prototypes(features: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Mean feature of each class that some cell has.

    Args:
        features: float [D,h,w].
        cells: int64 [h,w] of labels, of which 255 is passed over.

    Returns:
        (prototypes float [K,D], their labels int64 [K], ascending).
    """
    classes = cells.unique()
    classes = classes[classes != IGNORE]
    member = (cells.flatten() == classes[:, None]).to(features.dtype)  # [K,h*w]
    return member @ features.flatten(1).T / member.sum(1, keepdim=True), classes


def cosine_maps(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine of every cell and every prototype: float [K,h,w] in [-1,1], for [D,h,w] and [K,D]."""
    return torch.einsum("kd,dhw->khw", F.normalize(prototypes, dim=1), F.normalize(features, dim=0))


def stretched(maps: Tensor) -> Tensor:
    """Each map [K,h,w] from its smallest to its largest value, to [0,1]; a constant map becomes 0."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    width = high - low
    return torch.where(width > 0, (maps - low) / width.where(width > 0, 1), 0)


def prototype_correlation(prototypes: Tensor) -> Tensor:
    """How alike the classes are: positive cosines [K,K] of prototypes [K,D], of each pair once, with the diagonal."""
    unit = F.normalize(prototypes, dim=1)
    return (unit @ unit.T).relu().triu()


def look_alikes(correlation: Tensor, alike: float = ALIKE) -> list[Tensor]:
    """Groups of classes that features cannot tell apart: for each class, itself and the later ones that are like it.

    Args:
        correlation: [K,K] of :func:`prototype_correlation`.
        alike: cosine above which two classes are.

    Returns:
        Positions int64 [n] of the groups of two or more.
    """
    groups = [(row > alike).nonzero()[:, 0] for row in correlation]
    return [group for group in groups if len(group) > 1]


def second_heat_maps(others: Sequence[Tensor], cells: Tensor) -> Tensor:
    """Heat maps of further features, averaged: float [K,h,w] in [0,1].

    Args:
        others: float [D,h',w'] each, at any grid; brought to that of the cells bilinearly, corners on corners.
        cells: int64 [h,w] of labels.
    """
    maps = []
    for features in others:
        small = F.interpolate(features[None], cells.shape, mode="bilinear", align_corners=True)[0]
        maps.append(stretched(cosine_maps(small, class_prototypes(small, cells)[0])))
    return stretched(torch.stack(maps).mean(0))


def rebalanced(heat: Tensor, second: Tensor, groups: Sequence[Tensor], eps: float = 0.1, rounds: int = 100) -> Tensor:
    """Heat maps in which classes that look alike are shared out as a second opinion says.

    Args:
        heat: float [K,h,w] in [0,1].
        second: the same of other features.
        groups: of :func:`look_alikes`; a class of two groups is decided twice.
    """
    shared = heat.clone()
    for group in groups:
        plan, _ = transport_plan(second[group].flatten(1).T, eps, rounds)
        shared[group] *= plan.T.view(len(group), *heat.shape[1:])
    return shared


def final_heat_maps(heat: Tensor, eps: float = 0.1, rounds: int = 100) -> Tensor:
    """Heat maps [K,h,w] shared out between all classes, each from 0 to 1."""
    return stretched(balanced(heat, eps, rounds))
