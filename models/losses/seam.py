"""SEAM's losses (Wang et al. 2020): the CAMs of an image and of its smaller copy must agree, refined ones too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.image_labels import Labels, image_label_loss
from models.ops.cam import max_norm
from models.ops.pixel_correlation import winner_only, with_background


@dataclass(frozen=True)
class View:
    """Maps of one view, [N,1+C,h,w] each: as the network gives them, and after pixel correlation."""

    cam: Tensor
    refined: Tensor


def classification_loss(cam: Tensor, tags: Tensor, labels: Labels = "multi") -> Tensor:
    """Image-level loss of the spatial mean of the foreground maps of ``cam`` [N,1+C,h,w]."""
    return image_label_loss(cam[:, 1:].mean((2, 3)), tags, labels)


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


def comparable_views(first: View, second: View, tags: Tensor) -> tuple[View, View]:
    """Both views' maps stretched to [0,1], at the size of the second (corners aligned), zero for classes without tag.

    Args:
        first: of the larger view.
        second: of the smaller view.
        tags: bool or float [N,C].
    """
    there = F.pad(tags.to(first.cam.dtype), (1, 0), value=1)[:, :, None, None]
    size = second.cam.shape[2:]
    one, two = (
        View(*(resize(max_norm(maps), size) * there for maps in (view.cam, view.refined))) for view in (first, second)
    )
    return one, two


def equivariance_losses(first: View, second: View, hardest: float = 0.2) -> Equivariance:
    """Equivariant regularisation (ER) and equivariant cross regularisation (ECR) of :func:`comparable_views`.

    Args:
        hardest: share of the entries of an image that the cross term keeps, the largest ones.

    Source: YudeWang/SEAM@3212261:train_SEAM.py.
    """
    plain = (first.cam[:, 1:] - second.cam[:, 1:]).abs().mean()
    target_1, target_2 = (winner_only(with_background(view.cam[:, 1:].detach())) for view in (first, second))
    return Equivariance(
        plain,
        hardest_mean(target_2 - first.refined, hardest),
        hardest_mean(target_1 - second.refined, hardest),
    )


def siamese_classification(first: View, second: View, tags: Tensor, labels: Labels = "multi") -> dict[str, Tensor]:
    """The parts that read the image's tags: classification of both views, half each, and their min-pooling.

    Args:
        first, second: maps at the size of the view in pixels.
        tags: bool [N,C].
        labels: a yes/no question for each class, or cross-entropy where every image has exactly one ("single").
    """
    there = tags[:, :, None, None]
    pooled = [min_pooling_loss(view.refined[:, 1:] * there) for view in (first, second)]
    return {
        "classification": classification_loss(first.cam, tags, labels) / 2,
        "classification_2": classification_loss(second.cam, tags, labels) / 2,
        "min_pooling": torch.stack(pooled).mean(),
    }


def resize(maps: Tensor, size: torch.Size) -> Tensor:
    """Bilinear, corners aligned, as everywhere in this family."""
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)


def hardest_mean(gap: Tensor, share: float) -> Tensor:
    """Mean of the largest ``share`` of the absolute values of each image's gaps [N,...]."""
    flat = gap.abs().flatten(1)
    return flat.topk(max(1, int(share * flat.shape[1])), sorted=False).values.mean()
