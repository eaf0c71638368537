"""Labels of the pixels where a soft mask is near its own maximum (1-stage-wseg), and the masks that tags allow."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.structures import UNLABELLED


def cut_off_labels(masks: Tensor, foreground: float = 0.6, background: float = 0.7, lowest: float = 0.2) -> Tensor:
    """Label the pixels above a share of their class's maximum.

    Args:
        masks: float [B,1+K,H,W], channel 0 background; zero where a class is denied.
        foreground, background: shares of the spatial maximum.
        lowest: what a pixel must exceed at least.

    Returns:
        int64 [B,H,W] of channels 0..K; 254 (unlabelled) where no class, or more than one, claims the pixel.

    Source: visinf/1-stage-wseg@d905fca:models/stage_net.py.
    """
    share = masks.new_full((masks.shape[1], 1, 1), foreground)
    share[0] = background
    claims = masks > (masks.amax((2, 3), keepdim=True) * share).clamp(min=lowest)
    labels = claims.int().argmax(1)
    return labels.where(claims.sum(1) == 1, UNLABELLED)


class TaggedMasks(NamedTuple):
    """The background and the tagged classes of each image alone.

    Attributes:
        masks: [B,1+K,h,w], channel 0 background, K the most tags that an image of the batch has.
        channels: int64 [B,1+K], the channel that each one was.
        allowed: bool [B,1+K]; images with fewer tags have denied channels at the end.
    """

    masks: Tensor
    channels: Tensor
    allowed: Tensor


def tagged_masks(masks: Tensor, tags: Tensor) -> TaggedMasks:
    """Leave out the classes that no image's tags need: what refines masks one by one need not refine those.

    Args:
        masks: float [B,1+C,h,w].
        tags: bool [B,C].
    """
    order = tags.int().argsort(dim=1, descending=True, stable=True)[:, : int(tags.sum(1).max())]
    channels = F.pad(1 + order, (1, 0))
    allowed = F.pad(tags.gather(1, order), (1, 0), value=True)
    index = channels[:, :, None, None].expand(-1, -1, *masks.shape[2:])
    return TaggedMasks(masks.gather(1, index), channels, allowed)


def original_labels(labels: Tensor, channels: Tensor) -> Tensor:
    """Labels [B,H,W] that count channels of :class:`TaggedMasks`, as classes; 254 and 255 stay."""
    known = labels < channels.shape[1]
    classes = channels.gather(1, labels.where(known, 0).flatten(1)).view_as(labels)
    return torch.where(known, classes, labels)
