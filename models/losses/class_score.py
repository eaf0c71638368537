"""Image-level class scores of softmax masks: pooling that masks weigh, and a penalty on small ones (1-stage-wseg)."""

from __future__ import annotations

import torch
from torch import Tensor

BACKGROUND_LOGIT = 1.0


def with_constant_background(maps: Tensor) -> Tensor:
    """Logits [B,1+C,h,w] of class maps [B,C,h,w]: the background's is 1 everywhere."""
    return torch.cat([torch.full_like(maps[:, :1], BACKGROUND_LOGIT), maps], 1)


def weighted_pooling(logits: Tensor, masks: Tensor) -> Tensor:
    """``sum(logit * m) / (1 + sum m)`` over pixels: [B,K] of logits and masks [B,K,h,w] (nGWP)."""
    return (logits * masks).sum((2, 3)) / (1 + masks.sum((2, 3)))


def focal_penalty(masks: Tensor, power: float = 3.0, floor: float = 0.01) -> Tensor:
    """``(1 - a)^power log(floor + a)`` with ``a`` the mean of a mask: [B,K] of masks [B,K,h,w].

    Near ``log(floor)`` for a mask that covers next to nothing, 0 for one that covers a good part of the image.
    """
    area = masks.mean((2, 3))
    return (1 - area) ** power * (floor + area).log()


def class_scores(logits: Tensor, power: float = 3.0, floor: float = 0.01) -> Tensor:
    """Image-level logits [B,C]: weighted pooling plus focal penalty of each class, for a soft-margin loss.

    Args:
        logits: float [B,1+C,h,w] with the background's constant (:func:`with_constant_background`).
        power, floor: of :func:`focal_penalty`.

    Source: visinf/1-stage-wseg@d905fca:models/stage_net.py.
    """
    masks = logits.softmax(1)
    return (weighted_pooling(logits, masks) + focal_penalty(masks, power, floor))[:, 1:]
