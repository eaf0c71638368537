"""Optimal transport between the cells of an image and its classes: cells are shared out evenly (DHR)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.errors import DataError

ENOUGH = 1e-2
"""Mean change of the cells' factors in a round, below which no further round follows."""
LEAST_RANGE = 1e-5
"""A plan's range that is smaller counts as this one: of 10,000 cells times classes and more, no plan reaches 1."""


def transport_plan(similarity: Tensor, eps: float = 0.1, rounds: int = 100) -> tuple[Tensor, int]:
    """Entropic optimal transport by Sinkhorn's rounds: every cell gives the same, every class receives the same.

    Args:
        similarity: float [n,K] of n cells and K classes; larger is alike, at most about 1.
        eps: strength of the entropy; smaller makes harder plans.
        rounds: at most so many.

    Returns:
        (plan float [n,K], scaled by class to [0,1]; rounds that were done). The plan of a single class says nothing:
        it is constant, and 0 but for rounding.

    Raises:
        DataError: the plan is not finite, because ``eps`` is too small for these numbers.

    Source: shjo-april/DHR@94d5189:core/ot_utils.py; docs/methods/dhr.md, (1).
    """
    count, classes = similarity.shape
    kernel = torch.exp(-(1 - similarity) / eps)
    of_cells, of_classes = similarity.new_ones(count), similarity.new_ones(classes)
    gives, receives = torch.full_like(of_cells, 1 / count), torch.full_like(of_classes, 1 / classes)
    done = 0
    while done < rounds:
        before = of_cells
        of_cells = gives / (kernel @ of_classes)
        of_classes = receives / (kernel.T @ of_cells)
        done += 1
        if (of_cells - before).abs().mean() < ENOUGH:
            break
    plan = of_cells[:, None] * kernel * of_classes
    if not plan.isfinite().all():  # a row of the kernel is 0: maps times this plan would be silently empty
        raise DataError(
            f"transport: expected a finite plan, found one that is not: with eps {eps:g} the likeness of some cell to "
            "every class rounds to 0. Remedy: a larger eps (DHR 0.1)."
        )
    low = plan.amin(0)
    return (plan - low) / (plan.amax(0) - low).clamp(min=LEAST_RANGE), done


def balanced(maps: Tensor, eps: float = 0.1, rounds: int = 100) -> Tensor:
    """Maps [K,h,w] times their own transport plan, so that no class takes what belongs to the others.

    DataError: as of :func:`transport_plan`.
    """
    plan, _ = transport_plan(maps.flatten(1).T, eps, rounds)
    return maps * plan.T.view_as(maps)
