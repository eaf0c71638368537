"""Labels that a single-stage network makes of its own CAMs while it trains, on tensors (RTC, AFA, ToCo, DuPL).

Confident on either side, 255 between. The rules of make_pseudo_masks are their counterpart for stored CAMs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.tagged_pairs import TaggedPairs
from models.structures import BACKGROUND, IGNORE

Refine = Callable[[Tensor, Tensor], Tensor]
"""From image [1,3,H,W] and masks [1,K,H,W] to masks (``models.ops.pixel_adaptive.PixelAdaptive``)."""


@torch.no_grad()
def two_threshold_labels(
    scores: Tensor,
    image: Tensor,
    tags: Tensor,
    inside: Tensor,
    refine: Refine,
    high: float | Tensor = 0.55,
    low: float = 0.2,
    shrink: int = 2,
) -> Tensor:
    """Refine the CAMs against two constant backgrounds: a class where it beats both, background where both beat it.

    Args:
        scores: [N,C,h,w] in [0,1], enlarged to the image (corners aligned).
        image: [N,3,H,W].
        tags: bool [N,C]; the classes that take part.
        inside: bool [N,H,W]; the rest is void.
        refine: at half the image's size, on the softmax over background and tagged classes.
        high, low: the backgrounds' scores (RTC .55 and .2, AFA .55 and .35, ToCo .7 and .25); the high one may be
            [N], one for each image.
        shrink: how many times smaller the grid is on which labels are refined.

    Returns:
        int64 [N,H,W]: 0, 1..C, 255.

    Source: ChunyanWang1/RTC@9c777e0:network/losses.py, rulixiang/afa@adcfa29:utils/camutils.py.
    """
    size = image.shape[2:]
    if scores.shape[2:] != size:
        scores = F.interpolate(scores, size, mode="bilinear", align_corners=True)
    small = [max(1, length // shrink) for length in size]
    image, scores = (F.interpolate(maps, small, mode="bilinear", align_corners=False) for maps in (image, scores))
    labels = torch.full(inside.shape, IGNORE, device=scores.device)
    pairs = TaggedPairs.of(tags)
    highs = high if torch.is_tensor(high) else scores.new_full((len(scores),), high)
    for label, picture, maps, there, most in zip(labels, image, scores, pairs.each(pairs.channel), highs, strict=True):
        classes = F.pad(there + 1, (1, 0))
        label.copy_(_between(refined_shares(picture, maps[there], most, low, refine), classes, size))
    return labels.where(inside, IGNORE)


def refined_shares(image: Tensor, scores: Tensor, high: Tensor, low: float, refine: Refine) -> Tensor:
    """Shares of background and classes by a high and by a low constant score of the background, refined.

    Args:
        image: [3,h,w]. scores: [K,h,w] in [0,1]. high: scalar. low, refine: as in :func:`two_threshold_labels`.

    Returns:
        [1,2*(1+K),h,w]: those by the high score, then those by the low one.
    """
    planes = high.to(scores.dtype).expand_as(image[:1]), torch.full_like(image[:1], low)
    stacks = [torch.cat([plane, scores]).softmax(0) for plane in planes]
    return refine(image[None], torch.cat(stacks)[None])


def band_labels(cams: Tensor, tags: Tensor, inside: Tensor, high: float | Tensor, low: float) -> Tensor:
    """The best tagged class where it is above ``high``, background where it is at most ``low``, 255 between.

    Args:
        cams: [N,C,h,w] in [0,1]. tags: bool [N,C]. inside: bool [N,h,w]; the rest is void.
        high, low: scores, low at most high; the high one may be [N], one for each image.

    Returns:
        int64 [N,h,w]: 0, 1..C, 255.

    Source: rulixiang/ToCo@e13514d:utils/camutils.py (cam_to_label).
    """
    best, index = (cams * tags[:, :, None, None]).max(1)
    upper = high[:, None, None] if torch.is_tensor(high) else high
    labels = (index + 1).where(best > upper, IGNORE).where(best > low, BACKGROUND)
    return labels.where(inside, IGNORE)


@torch.no_grad()
def grid_labels(
    cams: Tensor, features: Tensor, tags: Tensor, inside: Tensor, high: float | Tensor, low: float
) -> Tensor:
    """:func:`band_labels` of CAMs [N,C,H,W] and ``inside`` [N,H,W] at the cells of features [N,D,h,w]."""
    grid = features.shape[2:]
    cells = F.interpolate(cams, grid, mode="bilinear", align_corners=False)
    there = F.interpolate(inside[:, None].float(), grid, mode="nearest")[:, 0] > 0
    return band_labels(cells, tags, there, high, low)


@torch.no_grad()
def refined_share_labels(
    high: Tensor, low: Tensor, image: Tensor, tags: Tensor, inside: Tensor, refine: Refine, shrink: int = 2
) -> Tensor:
    """As :func:`two_threshold_labels`, of shares that are there already.

    Args:
        high, low: [N,1+C,h,w], shares of background and classes by a high and by a low background, 0 without a tag.
        image, tags, inside, refine, shrink: as there.

    Returns:
        int64 [N,H,W]: 0, 1..C, 255.

    Source: rulixiang/afa@adcfa29:utils/camutils.py (refine_cams_with_cls_label).
    """
    size = image.shape[2:]
    small = [max(1, length // shrink) for length in size]
    image, high, low = (F.interpolate(maps, small, mode="bilinear", align_corners=False) for maps in (image, high, low))
    labels = torch.full(inside.shape, IGNORE, device=image.device)
    pairs = TaggedPairs.of(tags)
    for label, picture, sure, unsure, there in zip(labels, image, high, low, pairs.each(pairs.channel), strict=True):
        classes = F.pad(there + 1, (1, 0))
        refined = refine(picture[None], torch.cat([sure[classes], unsure[classes]])[None])
        label.copy_(_between(refined, classes, size))
    return labels.where(inside, IGNORE)


@torch.no_grad()
def complete_labels(scores: Tensor, image: Tensor, tags: Tensor, inside: Tensor, refine: Refine) -> Tensor:
    """Every pixel its likeliest label: background is what no class claims, ``1 - max``, refined with the classes.

    Args:
        scores: [N,C,H,W] in [0,1], at the image's size.
        image: [N,3,H,W].
        tags: bool [N,C]; the classes that take part. An image without tags is background.
        inside: bool [N,H,W]; the rest is void.
        refine: of the masks by the image.

    Returns:
        int64 [N,H,W]: 0, 1..C, and 255 where it is not ``inside``.

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/WeCLIP_model/model_attn_aff_voc.py (_refine_cams).
    """
    labels = torch.zeros(inside.shape, dtype=torch.int64, device=scores.device)
    pairs = TaggedPairs.of(tags)
    for label, picture, maps, there in zip(labels, image, scores, pairs.each(pairs.channel), strict=True):
        if len(there):
            refined = refine(picture[None], with_complement(maps[there])[None])[0]
            label.copy_(F.pad(there + 1, (1, 0))[refined.argmax(0)])
    return labels.where(inside, IGNORE)


def with_complement(maps: Tensor) -> Tensor:
    """Put ``1 - max``, the background's score, before maps [K,H,W] in [0,1], K >= 1: [1+K,H,W]."""
    return torch.cat([1 - maps.amax(0, keepdim=True), maps])


def _between(refined: Tensor, classes: Tensor, size: torch.Size) -> Tensor:
    """A class where the first of two stacks of masks says one, background where both say it, 255 elsewhere."""
    enlarged = F.interpolate(refined, size, mode="bilinear", align_corners=False)[0]
    sure, unsure = (classes[_best(stack)] for stack in enlarged.split(len(classes)))
    return sure.where((sure != BACKGROUND) | (unsure == BACKGROUND), IGNORE)


def _best(stack: Tensor) -> Tensor:
    """``stack.argmax(0)`` of a few maps [K,H,W], ties to the first; several times as fast."""
    best, index = stack[0], torch.zeros(stack.shape[1:], dtype=torch.long, device=stack.device)
    for number, maps in enumerate(stack[1:], 1):
        better = maps > best
        best, index = maps.where(better, best), index.masked_fill(better, number)
    return index
