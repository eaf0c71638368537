"""SEAM's losses (Wang et al. 2020): the CAMs of an image and of its smaller copy must agree, refined ones too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.cam import max_norm
from models.ops.pixel_correlation import winner_only, with_background


@dataclass(frozen=True)
class View:
    """Maps of one view, [N,1+C,h,w] each: as the network gives them, and after pixel correlation."""

    cam: Tensor
    refined: Tensor


def classification_loss(cam: Tensor, tags: Tensor) -> Tensor:
    """Soft-margin loss of the spatial mean of the foreground maps of ``cam`` [N,1+C,h,w]."""
    return F.multilabel_soft_margin_loss(cam[:, 1:].mean((2, 3)), tags.to(cam.dtype))


def min_pooling_loss(scores: Tensor, share: float = 0.25) -> Tensor:
    """Mean of the lowest ``share`` of pixels' best foreground score, [N,C,h,w]: it flattens the background.

    Source: YudeWang/SEAM@3212261:train_SEAM.py (adaptive_min_pooling_loss).
    """
    best = scores.amax(1).flatten(1)
    lowest = best.topk(max(1, int(best.shape[1] * share)), largest=False).values
    return lowest.relu().mean()


@dataclass(frozen=True)
class Equivariance:
    """Scalars: of the plain maps, of the refined maps of either view against the other's plain ones, and their sum."""

    plain: Tensor
    cross_first: Tensor
    cross_second: Tensor

    @property
    def cross(self) -> Tensor:
        return self.cross_first + self.cross_second


def equivariance_losses(first: View, second: View, tags: Tensor, hardest: float = 0.2) -> Equivariance:
    """Equivariant regularisation (ER) and equivariant cross regularisation (ECR).

    Args:
        first: of the larger view; its maps are resized to the second's (corners aligned).
        second: of the smaller view.
        tags: bool or float [N,C].
        hardest: share of the entries of an image that the cross term keeps, the largest ones.

    Source: YudeWang/SEAM@3212261:train_SEAM.py.
    """
    there = F.pad(tags.to(first.cam.dtype), (1, 0), value=1)[:, :, None, None]
    size = second.cam.shape[2:]
    cam_1, refined_1 = (_resize(max_norm(maps), size) * there for maps in (first.cam, first.refined))
    cam_2, refined_2 = (max_norm(maps) * there for maps in (second.cam, second.refined))
    plain = (cam_1[:, 1:] - cam_2[:, 1:]).abs().mean()
    target_1, target_2 = (winner_only(with_background(cam[:, 1:].detach())) for cam in (cam_1, cam_2))
    return Equivariance(
        plain, _hardest_mean(target_2 - refined_1, hardest), _hardest_mean(target_1 - refined_2, hardest)
    )


def _resize(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def _hardest_mean(gap: Tensor, share: float) -> Tensor:
    flat = gap.abs().flatten(1)
    return flat.topk(max(1, int(share * flat.shape[1]))).values.mean()
