"""Probabilities of a segmenter over scales and mirror images, for masks and for CAMs made of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.multiscale import merge_views, scaled_views
from models.structures import Segmenter

SHUT = -1e4
"""Logit of a label that is not allowed: its probability is 0, and interpolation beside it stays finite."""


def posteriors(
    segmenter: Segmenter,
    image: Tensor,
    size: tuple[int, int],
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    average: Literal["logits", "probabilities"] = "logits",
    gate: bool = False,
    allowed: Tensor | None = None,
) -> Tensor:
    """Mean over all views.

    Args:
        segmenter: its attribute ``align_corners``, where it has one, says how its grid is enlarged.
        image: float32 RGB in [0,1], [B,3,H,W].
        size: (h, w) of the result; it covers the image.
        scales: factors of the image's size.
        flip: add the mirror image at every scale.
        average: what is averaged; the published tests average logits, single-stage ones probabilities.
        gate: multiply each class by the probability that it is in the view (``GatedSegmenter``; RTC), which leaves
            sums below 1. Of probabilities only.
        allowed: bool [B,1+C], the labels among which the probabilities are, before they are averaged; None for all.

    Returns:
        float32 [B,1+C,h,w].
    """
    align_corners = bool(getattr(segmenter, "align_corners", False))
    views = len(scales) * (2 if flip else 1)

    def of_view(view: Tensor) -> Tensor:
        logits, presence = _seen(segmenter, view, gate)
        if allowed is not None:
            shut = ~(torch.cat([allowed, allowed]) if flip else allowed)
            logits = logits.float().masked_fill(shut[:, :, None, None], SHUT)
        each = None if average == "logits" else (lambda maps: maps.softmax(1) * presence)
        return merge_views(logits, size, flip, align_corners, each)

    mean: Tensor = reduce(torch.add, (of_view(view) for view in scaled_views(image, scales, flip))) / views
    return mean.softmax(1) if average == "logits" else mean


def _seen(segmenter: Any, view: Tensor, gate: bool) -> tuple[Tensor, Tensor]:
    """Logits, and what each class is multiplied by, [B,1+C,1,1]."""
    if not gate:
        logits: Tensor = segmenter.scores(view)
        return logits, logits.new_ones(())
    logits, presence = segmenter.gated_scores(view)
    return logits, F.pad(presence.float(), (1, 0), value=1)[:, :, None, None]
