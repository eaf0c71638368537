"""Cross-entropy between classes, asked once for each class of an image (ReCAM)."""

from __future__ import annotations

import torch
from torch import Tensor


def tagged_cross_entropy(logits: Tensor, tags: Tensor) -> Tensor:
    """Softmax cross-entropy that the feature of a tagged class belongs to that class and no other.

    Args:
        logits: float [B,C,C]; row c judges the feature of class c.
        tags: bool [B,C]; rows of other classes do not count.

    Returns:
        float32 scalar: mean over the tagged classes of an image, then over all B images, of which those without tags
        add nothing. B and not the images with tags is the divisor, so that parts of a batch add up to the batch.

    Source: docs/methods/recam.md, (3).
    """
    diagonal = -torch.diagonal(logits.float().log_softmax(2), dim1=1, dim2=2)
    return ((diagonal * tags).sum(1) / tags.sum(1).clamp(min=1)).mean()
