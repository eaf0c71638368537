"""SEAM's losses (Wang et al. 2020): the CAMs of an image and of its smaller copy must agree, refined ones too.

Maps are compared at the size of the image, but only those of tagged classes exist there: the others count 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.class_means import class_mean, hardest_mean
from models.losses.image_labels import Labels, image_label_loss
from models.ops.cam import max_norm
from models.ops.pixel_correlation import winner_only, with_background
from models.ops.tagged_pairs import TaggedPairs


@dataclass(frozen=True)
class View:
    """One view at its size in pixels; P pairs of an image and a class that it has.

    Attributes:
        logits: [N,C], the mean over pixels of each foreground class's plain map.
        cam: [P,H,W], plain maps.
        refined: [P,H,W], after pixel correlation.
        background: [N,H,W], the refined map of the background.
        pairs: which pairs they are.
    """

    logits: Tensor
    cam: Tensor
    refined: Tensor
    background: Tensor
    pairs: TaggedPairs

    @classmethod
    def of(cls, cam: Tensor, refined: Tensor, tags: Tensor | TaggedPairs, size: Sequence[int]) -> Self:
        """Of maps [N,1+C,h,w] at the network's grid, enlarged to ``size`` (bilinear, corners aligned).

        Args:
            tags: bool or float [N,C], or their pairs, to read them once for several views.
        """
        pairs = tags if isinstance(tags, TaggedPairs) else TaggedPairs.of(tags)
        return cls(
            enlarged_mean(cam[:, 1:], size),
            resize(cam[:, 1:][pairs.index].unsqueeze(1), size).squeeze(1),
            resize(refined[:, 1:][pairs.index].unsqueeze(1), size).squeeze(1),
            resize(refined[:, :1], size).squeeze(1),
            pairs,
        )


def classification_loss(view: View, tags: Tensor, labels: Labels = "multi") -> Tensor:
    """Image-level loss of the spatial means of the plain maps."""
    return image_label_loss(view.logits, tags, labels)


def min_pooling_loss(scores: Tensor, share: float = 0.25) -> Tensor:
    """Mean of the lowest ``share`` of pixels' best score, [N,K,h,w], K > 0: it flattens the background.

    Source: YudeWang/SEAM@3212261:train_SEAM.py (adaptive_min_pooling_loss).
    """
    best = scores.amax(1).flatten(1)
    lowest = best.topk(max(1, int(best.shape[1] * share)), largest=False, sorted=False).values
    return lowest.relu().mean()


def tagged_min_pooling(view: View, tags: Tensor) -> Tensor:
    """:func:`min_pooling_loss` of the refined maps of each image's classes, mean over images; 0 for one without."""
    each = [min_pooling_loss(maps[None]) for maps in view.pairs.each(view.refined) if len(maps)]
    return torch.stack(each).sum() / len(tags) if each else view.refined.sum()


def siamese_classification(first: View, second: View, tags: Tensor, labels: Labels = "multi") -> dict[str, Tensor]:
    """The parts that read the image's tags: classification of both views, half each, and their min-pooling.

    Args:
        tags: bool [N,C].
        labels: a yes/no question for each class, or cross-entropy where every image has exactly one ("single").
    """
    return {
        "classification": classification_loss(first, tags, labels) / 2,
        "classification_2": classification_loss(second, tags, labels) / 2,
        "min_pooling": (tagged_min_pooling(first, tags) + tagged_min_pooling(second, tags)) / 2,
    }


@dataclass(frozen=True)
class Comparable:
    """Maps of a view stretched to [0,1], at the size of the smaller view, zero for classes without tag.

    Attributes:
        cam: [N,C,h,w], plain.
        refined: [N,1+C,h,w].
    """

    cam: Tensor
    refined: Tensor


def comparable_views(first: View, second: View, tags: Tensor) -> tuple[Comparable, Comparable]:
    """Both views at the size of the second (bilinear, corners aligned). ``tags``: bool or float [N,C]."""
    size = second.background.shape[1:]
    one, two = (_comparable(view, tags.shape, size) for view in (first, second))
    return one, two


def _comparable(view: View, shape: torch.Size, size: torch.Size) -> Comparable:
    cam, refined, background = (
        resize(max_norm(maps).unsqueeze(1), size) for maps in (view.cam, view.refined, view.background)
    )
    nothing = background.new_zeros(*shape, *size)
    plain, spread = (nothing.index_put(view.pairs.index, maps.squeeze(1)) for maps in (cam, refined))
    return Comparable(plain, torch.cat([background, spread], 1))


@dataclass(frozen=True)
class Equivariance:
    """Scalars: of the plain maps, of the refined maps of either view against the other's plain ones, and their sum."""

    plain: Tensor
    cross_first: Tensor
    cross_second: Tensor

    @property
    def cross(self) -> Tensor:
        return self.cross_first + self.cross_second


def equivariance_losses(first: Comparable, second: Comparable, hardest: float = 0.2, counted: int = 0) -> Equivariance:
    """Equivariant regularisation (ER) and equivariant cross regularisation (ECR).

    Args:
        hardest: share of the entries of an image that the cross term keeps, the largest ones.
        counted: classes that both means count; 0: all C (``models.losses.class_means``).

    Source: YudeWang/SEAM@3212261:train_SEAM.py.
    """
    plain = class_mean(first.cam - second.cam, counted)
    channels = counted and 1 + counted  # the background is one of them
    target_1, target_2 = (winner_only(with_background(view.cam.detach())) for view in (first, second))
    return Equivariance(
        plain,
        hardest_mean(target_2 - first.refined, hardest, channels),
        hardest_mean(target_1 - second.refined, hardest, channels),
    )


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, corners aligned, as everywhere in this family."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    if not len(maps):  # torch refuses to interpolate nothing
        return maps.new_zeros(0, maps.shape[1], *size)
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)


def enlarged_mean(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The mean over pixels of ``resize(maps, size)`` without making it: [N,C] of [N,C,h,w]."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps.mean((2, 3))
    rows, columns = (
        F.interpolate(
            torch.eye(cells, dtype=maps.dtype, device=maps.device)[None], n, mode="linear", align_corners=True
        ).mean((0, 2))
        for cells, n in zip(maps.shape[2:], size, strict=True)
    )
    return torch.einsum("nchw,h,w->nc", maps, rows, columns)
