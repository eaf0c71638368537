"""Cross-entropy on a pseudo-mask, in which rare classes of an image weigh as much as its frequent ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.counting import occurrences
from models.structures import IGNORE


def balanced_mask_cross_entropy(logits: Tensor, labels: Tensor, tags: Tensor) -> Tensor:
    """Class-balanced cross-entropy of each image, 0 for an image whose pseudo-mask lacks or adds a class.

    A pixel of class k weighs ``(T - n_k) / (1 + T)`` with n_k the pixels of k among the T labelled ones of its image.
    An image counts where its mask has as many classes (background included) as it has tags, and one.

    Args:
        logits: float [B,1+C,h,w]; they are resized to the labels (bilinear, corners aligned).
        labels: int64 [B,H,W]; 0..C count, everything above C (254 unlabelled, 255 void) adds 0.
        tags: bool or float [B,C].

    Returns:
        float32 (float64 for float64 logits) [B]: the mean over all H*W pixels, those without label included.

    Source: visinf/1-stage-wseg@d905fca:models/stage_net.py; ChunyanWang1/RTC@9c777e0:contrast_train.py.
    """
    classes = logits.shape[1]
    if logits.dtype != torch.float64:
        logits = logits.float()
    logits = F.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=True)
    labelled = labels < classes
    counts = class_counts(labels, classes).to(logits.dtype)
    total = counts.sum(1, keepdim=True)
    weights = ((total - counts) / (1 + total)).gather(1, labels.where(labelled, 0).flatten(1)).view_as(labels)
    loss = F.cross_entropy(logits, labels.where(labelled, IGNORE), ignore_index=IGNORE, reduction="none")
    whole = (counts > 0).sum(1) == 1 + tags.sum(1)
    return whole * (weights * loss).mean((1, 2))


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """Pixels of each of the labels 0 to ``classes - 1`` in each image: int64 [B,classes] of int64 [B,H,W]."""
    images = torch.arange(len(labels), device=labels.device)[:, None, None]
    bins = labels.clamp(max=classes) + images * (classes + 1)
    return occurrences(bins, len(labels) * (classes + 1)).view(-1, classes + 1)[:, :classes]
