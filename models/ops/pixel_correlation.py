"""Pixel correlation (SEAM, RTC): every cell's scores become a mean over the cells that look like it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.cam import EPS


def winner_only(scores: Tensor) -> Tensor:
    """Background kept; of the foreground channels of each pixel only the largest keeps its value (ties all do).

    Args:
        scores: [N,1+C,h,w], channel 0 background.

    Source: YudeWang/SEAM@3212261:train_SEAM.py (max_onehot). The gradient passes where values do.
    """
    return torch.cat([scores[:, :1], winners(scores[:, 1:])], 1)


def winners(foreground: Tensor) -> Tensor:
    """Of each pixel's channels [N,C,h,w] only the largest keeps its value (ties all do)."""
    return foreground * (foreground == foreground.amax(1, keepdim=True))


def with_background(foreground: Tensor) -> Tensor:
    """[N,1+C,h,w] from [N,C,h,w]: ``1 - max`` in front."""
    return torch.cat([1 - foreground.amax(1, keepdim=True), foreground], 1)


def correlation_seed(logits: Tensor, eps: float = EPS) -> Tensor:
    """What is spread: peak-normalised foreground maps, their complement as background, winners only. No gradient.

    Args:
        logits: [N,1+C,h,w]; channel 0 is not read.

    Source: YudeWang/SEAM@3212261:network/resnet38_SEAM.py.
    """
    positive = logits.detach()[:, 1:].relu()
    peak = positive.flatten(2).amax(2)[:, :, None, None]
    return winner_only(with_background((positive - eps).relu() / (peak + eps)))


def pixel_correlation(scores: Tensor, features: Tensor, eps: float = EPS, power: float = 1.0) -> Tensor:
    """``scores A`` with ``A = relu(e^T e)^power``, columns divided by their sums, ``e`` the features' directions.

    Args:
        scores: [N,K,h,w], resized to the grid of the features (corners aligned) where they differ.
        features: [N,D,h',w'].
        eps: keeps divisions by zero out.
        power: above 1, cells that look most alike count for more; 1 is SEAM's.

    Returns:
        [N,K,h',w'].

    Source: YudeWang/SEAM@3212261:network/resnet38_SEAM.py (PCM).
    """
    size = features.shape[2:]
    if scores.shape[2:] != size:
        scores = F.interpolate(scores, size, mode="bilinear", align_corners=True)
    flat = features.flatten(2)
    directions = flat / (flat.norm(dim=1, keepdim=True) + eps)
    affinity = (directions.transpose(1, 2) @ directions).relu()
    if power != 1:
        affinity = affinity**power
    affinity = affinity / (affinity.sum(1, keepdim=True) + eps)
    spread: Tensor = scores.flatten(2) @ affinity
    return spread.view(*spread.shape[:2], *size)


def cross_representation(logits: Tensor, deep: Tensor, shallow: Tensor, eps: float = EPS, power: float = 1.0) -> Tensor:
    """RTC's refinement (CRR): the mean of what deep and what shallow features make of the seed.

    Gradients reach the features alone.

    Args:
        logits: [N,1+C,h,w]; channel 0 is not read.
        deep, shallow: [N,D,h,w] and [N,D',h,w].
        eps, power: of :func:`pixel_correlation`.

    Returns:
        [N,1+C,h,w], not negative.

    Source: ChunyanWang1/RTC@9c777e0:network/resnet38_contrast.py (FCM, PCM).
    """
    seed = correlation_seed(logits, eps)
    return (pixel_correlation(seed, deep, eps, power) + pixel_correlation(seed, shallow, eps, power)) / 2
