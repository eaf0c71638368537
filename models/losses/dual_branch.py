"""What two branches of a single-stage network teach each other (DuPL, Wu et al. 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.cross_entropy import seed_cross_entropy
from models.ops.gaussian_mixture import TwoGaussians
from models.structures import BACKGROUND, IGNORE, UNLABELLED

EPS = 1e-6


def pixel_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each pixel, [B,H,W], 0 where the label is 254 or 255, for logits [B,1+C,H,W]."""
    target = labels.masked_fill(labels >= UNLABELLED, IGNORE)
    return F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")


@torch.no_grad()
def without_noise(
    losses: Tensor,
    labels: Tensor,
    *,
    start: Tensor | None = None,
    certainty: float = 0.95,
    gap: float = 1.0,
    least: float = 0.1,
    pixels: int = 1000,
) -> tuple[Tensor, TwoGaussians]:
    """Void labels of classes whose loss is of the upper of two Gaussians: the network learned them from noise.

    Args:
        losses: float [B,H,W] of :func:`pixel_losses`.
        labels: int64 [B,H,W]; background stays.
        start: bool [B,H,W], see :meth:`models.ops.gaussian_mixture.TwoGaussians.fit`.
        certainty: probability of the upper Gaussian above which a label is void.
        gap: distance of the means above which there is noise.
        least: loss above which a pixel of a class counts for the mixture.
        pixels: that must be more of them in an image.

    Returns:
        The labels, and the mixtures of the B images.

    Source: Wu0409/DuPL@b21990f:train_final_voc.py.
    """
    flat, classes = losses.flatten(1), ((labels != BACKGROUND) & (labels < UNLABELLED)).flatten(1)
    counted = classes & (flat > least)
    mixture = TwoGaussians.fit(flat, counted, None if start is None else start.flatten(1))
    noisy = (counted.sum(1) > pixels) & (mixture.gap > gap)
    void = classes & noisy[:, None] & (mixture.upper(flat) > certainty)
    return labels.masked_fill(void.view_as(labels), IGNORE), mixture


@torch.no_grad()
def sure_where_unlabelled(logits: Tensor, labels: Tensor, confidence: float = 0.9) -> Tensor:
    """Own predictions above ``confidence`` where the other branch has no label, else 255: int64 [B,H,W].

    Args:
        logits: [B,1+C,H,W] of this branch.
        labels: int64 [B,H,W] of the other.
    """
    best, index = logits.softmax(1).max(1)
    return index.where((labels == IGNORE) & (best > confidence), IGNORE)


def consistency(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the changed, mirrored image's logits [B,1+C,h,w] against targets int64 [B,H,W]."""
    straight = F.interpolate(logits.flip(-1), targets.shape[1:], mode="bilinear", align_corners=False)
    return seed_cross_entropy(straight, targets)


def likeness(features: Tensor, others: Tensor) -> Tensor:
    """One plus the mean cosine of two branches' features [B,D,h,w]; the first are held fixed.

    Each channel has a cosine, over the cells, as released.
    """
    cosines = F.cosine_similarity(features.detach().flatten(2), others.flatten(2), dim=2, eps=EPS)
    return 1 + cosines.mean()


def falling_threshold(start: Tensor, end: Tensor, step: int, steps: int) -> Tensor:
    """From ``start`` to ``end`` [C] by half a cosine over ``steps``; before and after they are constant.

    Source: Wu0409/DuPL@b21990f:utils/train_helper.py (cosine_descent).
    """
    if step < 0 or step >= steps:
        return start if step < 0 else end
    done = (1 - math.cos(math.pi * step / max(steps - 1, 1))) / 2
    return start + (end - start) * done


def highest_of_tags(thresholds: Tensor, tags: Tensor) -> Tensor:
    """The largest threshold [B] of the classes of each image, for thresholds [C] and tags bool [B,C]; 0 without one."""
    return (thresholds * tags).amax(1)
