"""Feature similarity loss (HFPL): neighbours of similar colour should have similar scores, others need not.

The loss is a quadratic form of the scores, ``L = <y, dL/dy> / 2``, so one product of the pair weights with the scores
gives value and gradient. Weights exist for one image and one distance between rows at a time.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.ops.cam import max_norm
from models.ops.pixel_correlation import with_background

EPS = 1e-5
PUBLISHED_GRID = 56
"""Cells on a side of the grid that sigma is published for: crops of 448 pixels at stride 8."""


def sigma_in_cells(sigma: float, height: int, width: int) -> float:
    """A sigma in cells of the published grid, in cells of a grid of another size: the same share of the crop.

    With it, as many of a crop's pixels are neighbours on any grid. The loss is then a mean over the crop, taken finely
    or coarsely: g adds up to 1 around a cell whatever sigma is.
    """
    return sigma * math.sqrt(height * width) / PUBLISHED_GRID


def feature_similarity(
    image: Tensor, scores: Tensor, mu: float = 2.5, sigma: float = 5.0, reach: float = 4.0
) -> Tensor:
    """``-1/(N h w) sum_ij g(i,j) f(i,j) |y_i - y_j|^2 / 2`` over ordered pairs of cells of an image; usually negative.

    ``f = tanh(mu + logit(rho))`` gates by colour, ``rho`` the mean absolute difference of the channels: below 0.076
    (mu 2.5) pairs attract, above they repel. ``g`` is a Gaussian of their distance.

    Args:
        image: float [N,3,h,w] RGB in [0,1] at the grid of the scores; values outside are clamped. It gets no gradient.
        scores: float [N,K,h,w].
        mu: shift of the gate (HFPL 2.5).
        sigma: of the Gaussian in cells (HFPL 5); 0 for no locality, ``g = 1/(h w)``.
        reach: pairs whose rows are further apart than this many sigma are left out; 0 keeps all.

    Returns:
        float scalar.

    Source: arvijj/hfpl@1038a68:tool/probutils.py (feature_similarity_loss); ICAM's is twice as large.
    """
    loss: Tensor = _FeatureSimilarity.apply(scores, image.detach().clamp(0, 1), mu, sigma, reach)
    return loss


class _FeatureSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, image: Tensor, mu: float, sigma: float, reach: float) -> Tensor:
        pulls = [_pull(one, score, mu, sigma, reach) for one, score in zip(image, scores, strict=True)]
        gradient = torch.stack(pulls) * (-2 / scores[:, 0].numel())
        ctx.save_for_backward(gradient)
        return (scores.double() * gradient).sum().to(scores.dtype) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None, None, None, None


def _pull(image: Tensor, scores: Tensor, mu: float, sigma: float, reach: float) -> Tensor:
    """``sum_j w_ij (y_i - y_j)`` of each cell i, [K,h,w], for one image [3,h,w]; ``w = g f``.

    Rows are taken in pairs: the weights between all cells of a row and of the row ``dy`` below are a block [w,w], and
    the blocks of one ``dy`` a batch of matrices. A channel of ones beside the scores sums the weights themselves.
    """
    channels, height, width = scores.shape
    colour = (image.to(scores) / 3).permute(1, 2, 0).contiguous()
    rows = torch.cat([scores, torch.ones_like(scores[:1])]).permute(1, 2, 0).contiguous()
    spread = torch.zeros_like(rows)
    beside, far = _locality(height, width, sigma, reach, scores)
    for dy, near in enumerate(far.tolist()):
        weights = _gated(colour[: height - dy], colour[dy:], beside, math.exp(2 * mu))
        upper, lower = rows[: height - dy], rows[dy:]
        spread[: height - dy].baddbmm_(weights, lower, alpha=near)
        if dy:
            spread[dy:].baddbmm_(weights.transpose(1, 2), upper, alpha=near)
    flat = spread.permute(2, 0, 1)
    return scores * flat[channels:] - flat[:channels]


def _locality(height: int, width: int, sigma: float, reach: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """The Gaussian as a product: of the distance of columns [w,w], and of the distance of rows [those in reach]."""
    if not sigma:
        return like.new_ones(width, width), like.new_full((height,), 1 / (height * width))
    columns, rows = (torch.arange(n, device=like.device, dtype=like.dtype) for n in (width, height))
    beside = torch.exp((columns[:, None] - columns).square() / (-2 * sigma**2))
    within = rows[: math.floor(reach * sigma) + 1] if reach else rows
    return beside, torch.exp(within.square() / (-2 * sigma**2)) / (2 * math.pi * sigma**2)


def _gated(upper: Tensor, lower: Tensor, beside: Tensor, gain: float) -> Tensor:
    """``beside * f`` between the cells of paired rows: [rows,w,w] from thirds of colours [rows,w,3].

    ``f = tanh(mu + logit) = 1 - 2 / (1 + gain odds^2)`` with ``gain = e^(2 mu)``: no transcendental functions.
    """
    red, green, blue = (a[:, :, None] - b[:, None] for a, b in zip(upper.unbind(2), lower.unbind(2), strict=True))
    rho = red.abs_().add_(green.abs_()).add_(blue.abs_())
    near = (1 + EPS) - rho
    odds = rho.add_(EPS).div_(near)
    return torch.addcdiv(beside, beside, torch.addcmul(odds.new_ones(()), odds, odds, value=gain), value=-2)


def cam_scores(maps: Tensor, tags: Tensor) -> Tensor:
    """The scores that HFPL compares: max-normalised maps of the tagged classes, the rest of 1 as background.

    Args:
        maps: class logits [N,C,h,w] at the network's grid. tags: bool or float [N,C].

    Returns:
        [N,1+C,h,w] in [0,1].
    """
    return with_background(max_norm(maps) * tags.to(maps.dtype)[:, :, None, None])
