"""Cross-entropy on seeds that leave pixels out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.structures import BACKGROUND, IGNORE, UNLABELLED


def seed_cross_entropy(
    logits: Tensor, seeds: Tensor, *, balanced: bool = False, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over labelled pixels.

    Args:
        logits: [B,1+C,H,W].
        seeds: int64 [B,H,W]; 0..C count, 254 (unlabelled) and 255 (void) do not.
        balanced: half the mean over background pixels plus half the mean over foreground pixels
            (AFA, rulixiang/afa@adcfa29d2c84:utils/losses.py; AMN). A side without pixels counts 0.
        label_smoothing: share of the target spread evenly over all 1+C channels.

    Returns:
        float32 scalar; 0 with gradient 0 where nothing is labelled.
    """
    labelled = seeds < UNLABELLED
    target = seeds.where(labelled, torch.full_like(seeds, IGNORE))
    loss = F.cross_entropy(
        logits.float(), target, ignore_index=IGNORE, reduction="none", label_smoothing=label_smoothing
    )
    if not balanced:
        return _mean_over(loss, labelled)
    background = seeds == BACKGROUND
    return (_mean_over(loss, background) + _mean_over(loss, labelled & ~background)) / 2


def _mean_over(loss: Tensor, where: Tensor) -> Tensor:
    return (loss * where).sum() / where.sum().clamp(min=1)
