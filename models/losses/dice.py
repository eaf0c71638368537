"""Dice loss: how much of two masks does not overlap (Milletari et al. 2016)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from models.structures import UNLABELLED

EPS = 1e-7


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the mean over background and classes of ``2 sum(p y) / (sum p + sum y)``, sums over the whole batch.

    A class that no label has counts as one without overlap.

    Args:
        logits: float [B,1+C,H,W].
        labels: int64 [B,H,W]; 0..C count, 254 and 255 are in no sum.

    Returns:
        float32 scalar in [0,1].

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP+/WeCLIP_Plus/dice_loss.py, which sums p over void pixels too.
    """
    labelled = labels < UNLABELLED
    wanted = F.one_hot(labels.where(labelled, 0), logits.shape[1]).movedim(-1, 1) * labelled.unsqueeze(1)
    shares = logits.float().softmax(1) * labelled.unsqueeze(1)
    both, either = (values.sum((0, 2, 3)) for values in (shares * wanted, shares + wanted))
    return 1 - (2 * both / (either + EPS)).mean()
