"""Multi-scale attention (MAM of Yoon et al. 2021): each scale's CAM follows the support network's CAMs of all scales.

Scales that disagree with the CAM, since they see other parts of the object, weigh more, and no weight is below 1: the
target never lies below the plain mean, which expands the CAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.cam import tagged_maps
from models.ops.tagged_pairs import TaggedPairs

Target = Literal["attentive", "mean"]


def attentive_weights(main: Tensor, supports: Sequence[Tensor]) -> Tensor:
    """``2 - cosine`` over space of a map with that of each scale, in [1,2]; 2 where either is zero everywhere.

    Args:
        main: float [...,H,W], not negative.
        supports: K tensors of that shape.

    Returns:
        [K,...].
    """
    flat = main.flatten(-2)
    return torch.stack([2 - F.cosine_similarity(flat, maps.flatten(-2), dim=-1) for maps in supports])


def attentive_target(main: Tensor, supports: Sequence[Tensor]) -> Tensor:
    """Mean over scales of the support's maps times their weights, [...,H,W]."""
    weights = attentive_weights(main, supports)[..., None, None]
    return torch.stack([weight * maps for weight, maps in zip(weights, supports, strict=True)]).mean(0)


def multiscale_attention(
    main: Sequence[Tensor],
    support: Sequence[Tensor],
    tags: Tensor,
    size: Sequence[int],
    target: Target = "attentive",
    counted: int = 0,
) -> Tensor:
    """Sum over the scales of the main network of the mean distance of its CAM from its target.

    CAMs are rectified and not normalised. Classes that are not tagged are zero on both sides: they are in the mean's
    count, and nowhere in memory.

    Args:
        main: class maps of the network that learns, [N,C,h,w] for each of its scales.
        support: class maps of the network that is followed, likewise; no gradient flows to them.
        tags: bool [N,C].
        size: (H, W) in pixels, at which maps are compared.
        target: weights by disagreement ("attentive"), or all 1 ("mean").
        counted: classes that the mean counts; 0: all C (``models.losses.class_means``).

    Source: docs/methods/rcm_mam.md, section 4.
    """
    pairs = TaggedPairs.of(tags)
    with torch.no_grad():
        supports = [tagged_maps(maps, pairs, size) for maps in support]
        mean = torch.stack(supports).mean(0)
    count = len(tags) * (counted or tags.shape[1]) * size[0] * size[1]
    distances = []
    for logits in main:
        maps = tagged_maps(logits, pairs, size)
        followed = attentive_target(maps.detach(), supports) if target == "attentive" else mean
        distances.append((maps - followed).abs().sum() / count)
    return torch.stack(distances).sum()
