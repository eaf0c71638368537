"""Cross-transform regularisation (CTR) and the compensator of RTC: prototypes and votes from the other view's features.

Both views of an image have a 16x16 grid of cells that show the same places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.class_means import hardest_mean
from models.losses.prototype_contrast import (
    BACKGROUND,
    TAU,
    TOP,
    normalised_scores,
    prototype_cross_entropy,
    prototypes,
    to_grid,
    top_pixels,
)
from models.losses.seam import resize
from models.ops.cam import max_norm
from models.ops.pixel_correlation import winners

BackgroundCells = Literal["first", "least_foreground"]


@dataclass(frozen=True)
class TransformView:
    """One view on the grid, n cells of the batch in the order image, row, column.

    Attributes:
        features: [n,D], raw; the only ones with a gradient.
        scores: q, [1+C,n], channel 0 the background's constant; not masked by tags.
        labels: int64 [n], 0 background, 1..C, the pseudo-label of each cell.
        cells: int64 [1+C,k], those with the highest score of each class.
    """

    features: Tensor
    scores: Tensor
    labels: Tensor
    cells: Tensor


def transform_view(
    features: Tensor,
    refined: Tensor,
    tags: Tensor,
    background: float = BACKGROUND,
    background_cells: BackgroundCells = "first",
    cells: Tensor | None = None,
    top: int = TOP,
) -> TransformView:
    """What a view contributes.

    Args:
        features: [N,D,h,w], not negative; resized to 16x16 (corners aligned), as is
        refined: [N,1+C,h,w], CAMs after CRR.
        tags: bool or float [N,C].
        background: constant score of the background (RTC 0.2).
        background_cells: all scores of the background tie: the first cells of the batch make its prototype, as sorting
            may have it in the release, or those whose best foreground score is least.
        cells: injected for tests; None finds them.
        top: how many cells of the batch make a prototype and vote (RTC 32).

    Source: ChunyanWang1/RTC@9c777e0:contrast_train.py.
    """
    features, refined = to_grid(features), to_grid(refined.detach())
    with torch.no_grad():
        scores = normalised_scores(refined, background)
        there = F.pad(tags.to(scores.dtype), (1, 0), value=1)[:, :, None, None]
        labels = (scores * there).argmax(1).flatten()
        by_class = scores.permute(1, 0, 2, 3).flatten(1)
        if cells is None:
            ranked = by_class
            if background_cells == "least_foreground":
                ranked = torch.cat([-by_class[1:].amax(0, keepdim=True), by_class[1:]])
            cells = top_pixels(ranked, top)
    return TransformView(features.permute(0, 2, 3, 1).flatten(0, 2), by_class, labels, cells)


def swapped_prototypes(view: TransformView, other: TransformView) -> Tensor:
    """For each class the direction of the other view's features at this view's cells, weighted by scores: [1+C,D]."""
    return prototypes(other.features.detach(), view.scores, view.cells)


@dataclass(frozen=True)
class TransformContrast:
    """The three terms of CTR, scalars, unweighted, each the mean of both views."""

    intra: Tensor
    cross_label: Tensor
    cross_prototype: Tensor


def transform_contrast(
    first: TransformView,
    second: TransformView,
    against: tuple[Tensor, Tensor],
    tau: float = TAU,
    present: Tensor | None = None,
) -> TransformContrast:
    """Features against the prototypes of their own view, with the other's labels, and against the other's prototypes.

    Args:
        against: :func:`swapped_prototypes` of the first and of the second view.
        tau: temperature.
        present: bool [1+C], the classes whose prototypes count as negatives; None counts all, also those of classes
            that no image of the batch has, as the release does.
    """
    one, two = (F.normalize(view.features, dim=1) for view in (first, second))
    by_one, by_two = against

    def mean_of(pairs: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        losses = [prototype_cross_entropy(f, prototype, labels, tau, present) for f, prototype, labels in pairs]
        return torch.stack(losses).mean()

    return TransformContrast(
        intra=mean_of([(one, by_one, first.labels), (two, by_two, second.labels)]),
        cross_label=mean_of([(one, by_one, second.labels), (two, by_two, first.labels)]),
        cross_prototype=mean_of([(one, by_two, first.labels), (two, by_one, second.labels)]),
    )


@torch.no_grad()
def compensate(view: TransformView, other: TransformView, classes: Tensor, temperature: float = 1.0) -> Tensor:
    """Scores plus what the most confident cells of their class vote for, by similarity in the other view: [K,n].

    ``q + softmax_a(cos(f(p), f(a)) / temperature) . q_a`` over the class's cells ``a``.

    Args:
        classes: int64 [K], those for which it is made, 1..C.
        temperature: of the votes; at 1 (RTC) they are close to even, since features are not negative.
    """
    directions = F.normalize(other.features, dim=1)
    raised = []
    for cells, scores in zip(view.cells[classes], view.scores[classes], strict=True):
        votes = (directions @ directions[cells].T / temperature).softmax(1)
        raised.append(scores + votes @ scores[cells])
    return torch.stack(raised) if raised else view.scores[:0]


def compensator_loss(
    compensated: Tensor, classes: Tensor, cam: Tensor, tags: Tensor, share: float = 0.8, counted: int = 0
) -> Tensor:
    """Mean distance of a view's plain CAM from the compensated scores, only the winner of each pixel on both sides.

    Args:
        compensated: [K,n] of :func:`compensate`, n cells of N square grids.
        classes: int64 [K], 1..C: all that the batch's tags have.
        cam: [N,C,h,w] of ``comparable_views``, zero for classes without tag; it alone gets a gradient.
        tags: bool [N,C].
        share: of an image's entries, the largest distances, that count (RTC 0.8).
        counted: classes whose entries the share is taken of; 0: all C (``models.losses.class_means``).
    """
    target = torch.zeros_like(cam)
    if len(classes):
        side = math.isqrt(compensated.shape[1] // len(cam))
        grid = compensated.view(len(classes), len(cam), side, side).transpose(0, 1)
        target[:, classes - 1] = resize(max_norm(grid), cam.shape[2:]) * tags[:, classes - 1, None, None]
    return hardest_mean(winners(target) - winners(cam), share, counted)


def mutual_compensation(
    grids: tuple[TransformView, TransformView],
    cams: tuple[Tensor, Tensor],
    tags: Tensor,
    temperature: float = 1.0,
    share: float = 0.8,
    counted: int = 0,
) -> Tensor:
    """Sum over both views of :func:`compensator_loss`, the votes taken in the other view.

    Args:
        cams: plain maps [N,C,h,w] of ``comparable_views``, of the first and of the second view.
        tags: bool [N,C].
    """
    classes = tags.any(0).nonzero()[:, 0] + 1
    losses = [
        compensator_loss(compensate(grid, other, classes, temperature), classes, cam, tags, share, counted)
        for grid, other, cam in zip(grids, grids[::-1], cams, strict=True)
    ]
    return torch.stack(losses).sum()
