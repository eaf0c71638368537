"""Pixel-to-prototype contrast (PPC, Du et al. 2022): features near their pseudo-class's prototype, far from others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.cam import export_max_norm
from models.ops.counting import occurrences

GRID = 16
TOP = 32
"""Pixels of the batch that make a prototype: an eighth of a grid's, whatever the batch (PPC)."""
TAU = 0.1
WEIGHT = 0.1
BACKGROUND = 0.2
SEMI_HARD = (3, 13)
"""Of the similarities to all prototypes, largest first, those from rank 4 to 13 are the negatives within a view."""
PUBLISHED = 21
"""Prototypes that these ranks are of: 20 classes and the background."""
HARDEST, EASIEST = 0.5, 0.6

SemiHard = Literal["ranks", "shares"]


@dataclass(frozen=True)
class ContrastView:
    """What one view contributes; everything but the features is free of gradient.

    Attributes:
        features: [n,D], unit length, pixels in the order image, row, column.
        labels: int64 [n], 0 background, 1..C, the pseudo-label of each pixel.
        prototypes: [1+C,D], unit length.
    """

    features: Tensor
    labels: Tensor
    prototypes: Tensor


def contrast_view(
    features: Tensor,
    refined: Tensor,
    tags: Tensor,
    background: float = BACKGROUND,
    pixels: Tensor | None = None,
    top: int = TOP,
) -> ContrastView:
    """Pseudo-labels and prototypes of one view.

    Args:
        features: [N,D,h,w] of the projection; resized to 16x16 (corners aligned).
        refined: [N,1+C,h,w] CAMs after pixel correlation, likewise.
        tags: bool or float [N,C].
        background: constant score of the background.
        pixels: int64 [1+C,k], the pixels of each prototype; None for :func:`top_pixels`.
        top: how many of the batch these are.

    Source: usr922/wseg@e96b961:contrast_train.py.
    """
    features, refined = (to_grid(maps) for maps in (features, refined.detach()))
    scores = normalised_scores(refined, background)
    with torch.no_grad():
        there = F.pad(tags.to(scores.dtype), (1, 0), value=1)[:, :, None, None]
        labels = (scores * there).argmax(1).flatten()
        flat = features.detach().permute(0, 2, 3, 1).flatten(0, 2)
        by_class = scores.permute(1, 0, 2, 3).flatten(1)
        made = prototypes(flat, by_class, top_pixels(by_class, top) if pixels is None else pixels)
    return ContrastView(F.normalize(features.permute(0, 2, 3, 1).flatten(0, 2), dim=1), labels, made)


def normalised_scores(refined: Tensor, background: float = BACKGROUND) -> Tensor:
    """The export's normalisation of each map, and a constant in channel 0: [N,1+C,h,w]."""
    scores = export_max_norm(refined.relu())
    return torch.cat([torch.full_like(scores[:, :1], background), scores[:, 1:]], 1)


def top_pixels(scores: Tensor, top: int = TOP) -> Tensor:
    """The ``top`` pixels of the batch for each class, int64 [1+C,top], from scores [1+C,n], not masked by tags.

    Ties go to the first pixel: a constant map, such as the background's, takes the first ``top`` pixels.
    """
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :top]


def prototypes(features: Tensor, scores: Tensor, pixels: Tensor) -> Tensor:
    """For each class the mean feature of its pixels, weighted by their score, unit length: [1+C,D].

    Args:
        features: [n,D], raw. scores: [1+C,n]. pixels: int64 [1+C,k].
    """
    values = scores.gather(1, pixels)
    weighted = (features[pixels] * values.unsqueeze(2)).sum(1) / values.sum(1, keepdim=True)
    return F.normalize(weighted, dim=1)


def present_classes(tags: Tensor) -> Tensor:
    """Bool [1+C]: the background, and the classes that an image of the batch has, of bool [N,C]."""
    return F.pad(tags.bool().any(0), (1, 0), value=True)


def prototype_cross_entropy(
    features: Tensor, against: Tensor, labels: Tensor, tau: float = TAU, present: Tensor | None = None
) -> Tensor:
    """``-log softmax(f P^T / tau)`` at the label, mean over pixels, [n,D], [1+C,D], int64 [n].

    Args:
        present: bool [1+C], prototypes in the denominator, those of all labels among them; None: all, also those of
            classes that no image of the batch has (published).
    """
    logits = features @ against.T / tau
    if present is not None:
        logits = logits.masked_fill(~present, -torch.inf)
    return F.cross_entropy(logits, labels)


def semi_hard_ranks(prototypes: int, semi_hard: SemiHard = "ranks") -> slice:
    """Which of so many similarities, the largest first, are the negatives within a view.

    Args:
        semi_hard: ranks 4 to 13, whatever there is of them ("ranks", PPC), or the same shares of ``prototypes`` that
            these are of 21, at least one and never the first ("shares").
    """
    if semi_hard == "ranks":
        return slice(*SEMI_HARD)
    start, end = (rank * prototypes // PUBLISHED for rank in SEMI_HARD)
    start = max(1, start)
    return slice(start, max(start + 1, end))


@dataclass(frozen=True)
class Draws:
    """Random pixels of the intra-view term: for each class a permutation's head, as positions among its pixels."""

    positions: dict[int, Tensor]


def draw_hard_pixels(labels: Tensor, generator: torch.Generator | None = None) -> Draws:
    """Half of the pixels of each class that has at least two, without replacement."""
    drawn = {}
    for label, count in sorted(Counter(labels.tolist()).items()):
        if count >= 2:
            order = torch.randperm(count, generator=generator, device=labels.device)
            drawn[label] = order[: int(count * HARDEST)]
    return Draws(drawn)


def intra_view_loss(
    view: ContrastView,
    draws: Draws,
    tau: float = TAU,
    present: Tensor | None = None,
    semi_hard: SemiHard = "ranks",
) -> Tensor:
    """Contrast with semi-hard prototypes at hard pixels: half drawn, half among the least similar.

    For a class of n pixels, the ``n // 2`` drawn ones and the ``n // 2`` that end at ``int(.6 n)`` in the order of
    rising similarity to their prototype; the mean over both, then over classes.

    Args:
        present: see :func:`prototype_cross_entropy`. semi_hard: see :func:`semi_hard_ranks`.

    Returns:
        Scalar; 0 where no class has two pixels.
    """
    similarity = view.features @ view.prototypes.T
    positive = similarity.gather(1, view.labels.unsqueeze(1)).squeeze(1)
    count = len(view.prototypes)
    if present is not None:
        similarity, count = similarity.masked_fill(~present, -torch.inf), int(present.sum())
    negatives = similarity.sort(1, descending=True).values[:, semi_hard_ranks(count, semi_hard)]
    loss = (torch.cat([positive.unsqueeze(1), negatives], 1) / tau).logsumexp(1) - positive / tau
    sizes = occurrences(view.labels, len(view.prototypes)).tolist()
    pixels = view.labels.argsort(stable=True).split(sizes)
    classes = [_hard_mean(loss, positive, pixels[label], drawn) for label, drawn in draws.positions.items()]
    return torch.stack(classes).mean() if classes else view.features.sum() * 0


def _hard_mean(loss: Tensor, positive: Tensor, where: Tensor, drawn: Tensor) -> Tensor:
    losses = loss[where]
    end, half = int(len(losses) * EASIEST), int(len(losses) * HARDEST)
    least_similar = positive[where].detach().argsort()[end - half : end]
    return torch.cat([losses[drawn], losses[least_similar]]).mean()


@dataclass(frozen=True)
class Contrast:
    """The three terms of PPC, scalars, unweighted, each the mean of both views."""

    cross_prototype: Tensor
    cross_label: Tensor
    intra: Tensor


def prototype_contrast(
    first: ContrastView,
    second: ContrastView,
    draws: tuple[Draws, Draws],
    tau: float = TAU,
    present: Tensor | None = None,
    semi_hard: SemiHard = "ranks",
) -> Contrast:
    """Features against the other view's prototypes, against the other's labels, and within the view.

    Args:
        present: see :func:`prototype_cross_entropy`. semi_hard: see :func:`semi_hard_ranks`.
    """
    one, two = first, second

    def cost(view: ContrastView, prototypes: Tensor, labels: Tensor) -> Tensor:
        return prototype_cross_entropy(view.features, prototypes, labels, tau, present)

    def within(view: ContrastView, drawn: Draws) -> Tensor:
        return intra_view_loss(view, drawn, tau, present, semi_hard)

    return Contrast(
        (cost(one, two.prototypes, one.labels) + cost(two, one.prototypes, two.labels)) / 2,
        (cost(one, one.prototypes, two.labels) + cost(two, two.prototypes, one.labels)) / 2,
        (within(one, draws[0]) + within(two, draws[1])) / 2,
    )


def to_grid(maps: Tensor) -> Tensor:
    if maps.shape[2:] == (GRID, GRID):
        return maps
    return F.interpolate(maps, (GRID, GRID), mode="bilinear", align_corners=True)
