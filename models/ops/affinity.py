"""Affinities of pixel pairs: from features (PSA), from a boundary map (IRN); and which pairs labels make alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import ConfigurationError
from models.ops.pixel_pairs import Offset, pair_paths, pair_sources, pair_targets
from models.structures import BACKGROUND, UNLABELLED


def feature_affinity(features: Tensor, offsets: tuple[Offset, ...], radius: int) -> Tensor:
    """``exp(-mean_k |f_i - f_j|)`` of every pair, [B,P,h',w'] in (0,1], for features [B,K,h,w].

    Source: jiwoon-ahn/psa@9493e59:network/resnet38_aff.py.
    """
    sources = pair_sources(features, radius)
    if not offsets:
        return features.new_zeros(len(features), 0, *sources.shape[-2:])
    distances = [
        (target - sources).abs().mean(1)
        for target in (pair_targets(features, (offset,), radius).squeeze(-3) for offset in offsets)
    ]
    return torch.exp(-torch.stack(distances, 1))


def path_affinity(boundary: Tensor, radius: int) -> Tensor:
    """One minus the strongest boundary on the way: [B,P,h',w'] in [0,1], pairs in the order of ``pair_paths``.

    Args:
        boundary: [B,h,w] in [0,1].
        radius: exclusive radius of the pairs.

    Source: jiwoon-ahn/irn@a2ece00:misc/indexing.py (edge_to_affinity). The gradient of a path goes to one cell.
    """
    strongest: Tensor = _PathMaximum.apply(boundary, radius)
    return 1 - strongest


class _PathMaximum(torch.autograd.Function):
    """Largest value on each pair's path. It remembers where that was, so the way back is one scatter."""

    @staticmethod
    def forward(ctx: Any, boundary: Tensor, radius: int) -> Tensor:
        width = boundary.shape[-1]
        maxima = [_strongest(boundary, path, radius, width) for path in pair_paths(radius)]
        values, shifts = (torch.stack(parts, 1) for parts in zip(*maxima, strict=True))
        sources = torch.arange(boundary[0].numel(), device=boundary.device).view(boundary.shape[1:])
        ctx.save_for_backward(pair_sources(sources, radius) + shifts)
        ctx.shape = boundary.shape
        return values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (cells,) = ctx.saved_tensors
        gradient = gradients[0].flatten(1)
        spread = gradient.new_zeros(ctx.shape).flatten(1).scatter_add_(1, cells.flatten(1), gradient)
        return spread.view(ctx.shape), None


def _strongest(boundary: Tensor, path: tuple[Offset, ...], radius: int, width: int) -> tuple[Tensor, Tensor]:
    """Largest value on a path for every source, [B,h',w'], and how far it lies from the source in flat cells."""
    best = pair_targets(boundary, path[:1], radius).squeeze(-3)
    shift = torch.full_like(best, path[0][0] * width + path[0][1], dtype=torch.int64)
    for cell in path[1:]:
        value = pair_targets(boundary, (cell,), radius).squeeze(-3)
        shift.masked_fill_(value > best, cell[0] * width + cell[1])
        best = torch.maximum(best, value)
    return best, shift


@dataclass(frozen=True)
class PairLabels:
    """Which pairs are alike and which are not, each bool [B,P,h',w']; pairs with an unlabelled end are in none.

    Attributes:
        background: both ends are background. foreground: both have the same class. different: they differ.
    """

    background: Tensor
    foreground: Tensor
    different: Tensor


def pair_labels(seeds: Tensor, offsets: tuple[Offset, ...], radius: int) -> PairLabels:
    """Compare the two ends of every pair.

    Args:
        seeds: integer [B,h,w]; 0 background, 1..C classes, 254 and 255 say nothing.
        offsets: the pairs. radius: of them.

    Source: jiwoon-ahn/psa@9493e59:voc12/data.py, jiwoon-ahn/irn@a2ece00:voc12/dataloader.py.
    """
    if not offsets:
        raise ConfigurationError(
            f"expected a crop with pairs of cells to learn from, found a grid of {seeds.shape[-2]}x{seeds.shape[-1]} "
            "cells. Remedy: a larger loader.crop."
        )
    sources = pair_sources(seeds, radius).unsqueeze(-3)
    targets = pair_targets(seeds, offsets, radius)
    known = (sources < UNLABELLED) & (targets < UNLABELLED)
    same = known & (sources == targets)
    background = same & (sources == BACKGROUND)
    return PairLabels(background, same & ~background, known & ~same)


def within(grid: tuple[int, int], radius: int, device: torch.device | None = None) -> Tensor:
    """Whether two cells of a grid (h, w) are at most ``radius`` rows and columns apart, bool [n,n], n = h*w.

    Source: rulixiang/afa@adcfa29:scripts/dist_train_voc.py (get_mask_by_radius).
    """
    rows, columns = (torch.arange(length, device=device) for length in grid)
    near_rows = (rows[:, None] - rows).abs() <= radius
    near_columns = (columns[:, None] - columns).abs() <= radius
    return (near_rows[:, None, :, None] & near_columns[None, :, None, :]).flatten(0, 1).flatten(1)


def dense_pair_labels(seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Which of all pairs of cells are alike and which differ, each bool [B,n,n], n = h*w, for seeds [B,h,w].

    Source: rulixiang/afa@adcfa29:utils/camutils.py (cams_to_affinity_label).
    """
    flat = seeds.flatten(1)
    one, other = flat.unsqueeze(2), flat.unsqueeze(1)
    known = (one < UNLABELLED) & (other < UNLABELLED)
    return known & (one == other), known & (one != other)


def propagate_tagged(cams: Tensor, tags: Tensor, affinity: Tensor, background: float | Tensor = 0.45) -> Tensor:
    """One step of CAMs over a dense affinity, as AFA makes its affinity labels.

    Args:
        cams: [B,C,h,w] in [0,1]. tags: bool [B,C]. affinity: [B,n,n] in [0,1], n = h*w.
        background: constant score of the background; or [B], one for each image.

    Returns:
        [B,1+C,h,w]: softmax over background and tagged classes, spread; classes without a tag are 0.

    Source: rulixiang/afa@adcfa29:utils/camutils.py (propagte_aff_cam_with_bkg).
    """
    ground = background[:, None, None, None] if torch.is_tensor(background) else background
    scores = torch.cat([torch.zeros_like(cams[:, :1]) + ground, cams], 1)
    there = torch.cat([torch.ones_like(tags[:, :1]), tags], 1)[:, :, None, None]
    shares = scores.masked_fill(~there, float("-inf")).softmax(1)
    transition = affinity**2
    transition = transition / (transition.sum(1, keepdim=True) + 0.1)
    return (shares.flatten(2) @ transition).view_as(scores)


def cosine_affinity(embeddings: Tensor, kappa: float = 5.0) -> Tensor:
    """``exp(kappa (cos - 1))`` between all cells, [B,n,n] in (0,1], for embeddings [B,D,h,w] of any length.

    Source: twke18/SPML@0800afd:pyscripts/inference/pseudo_camrw_crf.py.
    """
    directions = F.normalize(embeddings.flatten(2), dim=1)
    return torch.exp(kappa * (directions.transpose(1, 2) @ directions) - kappa)


def product_affinity(features: Tensor) -> Tensor:
    """``sigmoid(f_i . f_j)`` between all cells, [B,n,n] in (0,1), for features [B,D,h,w].

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/WeCLIP_model/model_attn_aff_voc.py.
    """
    flat = features.flatten(2)
    return (flat.transpose(1, 2) @ flat).sigmoid()


def centred_affinity(features: Tensor, beta: float = 1.0, gamma: float = 3.0, *, alone: bool = False) -> Tensor:
    """``sigmoid(gamma (cos_ij - beta mean))`` between all cells, [B,n,n] in (0,1), for features [B,D,h,w].

    The mean is over all pairs of the batch, as released; ``alone``: over those of each image.

    Source: zwyang6/ExCEL@2cd7f510d627:model/model_excel.py.
    """
    return _centred_cosines(features, beta, gamma, alone).sigmoid()


def similar_cells(features: Tensor, beta: float = 1.0, gamma: float = 3.0, *, alone: bool = False) -> Tensor:
    """How each cell's attention is shared among the cells that are more like it than most: [B,n,n], rows add up to 1.

    A softmax over :func:`centred_affinity`'s logits that are not negative, and over the cell's own, which rounding may
    make negative where all features are alike.

    Source: zwyang6/ExCEL@2cd7f510d627:clip/clip_surgery_model.py.
    """
    logits = _centred_cosines(features, beta, gamma, alone)
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits.masked_fill((logits < 0) & ~own, float("-inf")).softmax(-1)


def _centred_cosines(features: Tensor, beta: float, gamma: float, alone: bool) -> Tensor:
    directions = F.normalize(features.flatten(2), dim=1)
    cosines = directions.transpose(1, 2) @ directions
    mean = cosines.mean((1, 2), keepdim=True) if alone else cosines.mean()
    return gamma * (cosines - beta * mean)
