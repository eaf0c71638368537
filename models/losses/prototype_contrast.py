"""Pixel-to-prototype contrast (PPC, Du et al. 2022): features near their pseudo-class's prototype, far from others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

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
HARDEST, EASIEST = 0.5, 0.6


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
    features: Tensor, refined: Tensor, tags: Tensor, background: float = BACKGROUND, pixels: Tensor | None = None
) -> ContrastView:
    """Pseudo-labels and prototypes of one view.

    Args:
        features: [N,D,h,w] of the projection; resized to 16x16 (corners aligned).
        refined: [N,1+C,h,w] CAMs after pixel correlation, likewise.
        tags: bool or float [N,C].
        background: constant score of the background.
        pixels: int64 [1+C,k], the pixels of each prototype; None for :func:`top_pixels`.

    Source: usr922/wseg@e96b961:contrast_train.py.
    """
    features, refined = (to_grid(maps) for maps in (features, refined.detach()))
    scores = normalised_scores(refined, background)
    with torch.no_grad():
        there = F.pad(tags.to(scores.dtype), (1, 0), value=1)[:, :, None, None]
        labels = (scores * there).argmax(1).flatten()
        flat = features.detach().permute(0, 2, 3, 1).flatten(0, 2)
        by_class = scores.permute(1, 0, 2, 3).flatten(1)
        made = prototypes(flat, by_class, top_pixels(by_class) if pixels is None else pixels)
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


def prototype_cross_entropy(features: Tensor, against: Tensor, labels: Tensor, tau: float = TAU) -> Tensor:
    """``-log softmax(f P^T / tau)`` at the label, mean over pixels, [n,D], [1+C,D], int64 [n]."""
    return F.cross_entropy(features @ against.T / tau, labels)


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


def intra_view_loss(view: ContrastView, draws: Draws, tau: float = TAU) -> Tensor:
    """Contrast with semi-hard prototypes at hard pixels: half drawn, half among the least similar.

    For a class of n pixels, the ``n // 2`` drawn ones and the ``n // 2`` that end at ``int(.6 n)`` in the order of
    rising similarity to their prototype; the mean over both, then over classes.

    Returns:
        Scalar; 0 where no class has two pixels.
    """
    similarity = view.features @ view.prototypes.T
    positive = similarity.gather(1, view.labels.unsqueeze(1)).squeeze(1)
    negatives = similarity.sort(1, descending=True).values[:, SEMI_HARD[0] : SEMI_HARD[1]]
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
    first: ContrastView, second: ContrastView, draws: tuple[Draws, Draws], tau: float = TAU
) -> Contrast:
    """Features against the other view's prototypes, against the other's labels, and within the view."""
    one, two = first, second
    return Contrast(
        (
            prototype_cross_entropy(one.features, two.prototypes, one.labels, tau)
            + prototype_cross_entropy(two.features, one.prototypes, two.labels, tau)
        )
        / 2,
        (
            prototype_cross_entropy(one.features, one.prototypes, two.labels, tau)
            + prototype_cross_entropy(two.features, two.prototypes, one.labels, tau)
        )
        / 2,
        (intra_view_loss(one, draws[0], tau) + intra_view_loss(two, draws[1], tau)) / 2,
    )


def to_grid(maps: Tensor) -> Tensor:
    if maps.shape[2:] == (GRID, GRID):
        return maps
    return F.interpolate(maps, (GRID, GRID), mode="bilinear", align_corners=True)
