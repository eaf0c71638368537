"""Feature similarity loss (HFPL): neighbours of similar colour should have similar scores, others need not.

The loss is a quadratic form of the scores, ``L = <y, dL/dy> / 2``, so one product of the pair weights with the scores
gives value and gradient. Weights of pairs beyond a few sigma are left out; two images are held at a time.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from models.ops.cam import max_norm
from models.ops.pixel_correlation import with_background

EPS = 1e-5
IMAGES_AT_ONCE = 2


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
        reach: pairs further apart than this many sigma in either direction are left out; 0 keeps all.

    Returns:
        float scalar.

    Source: arvijj/hfpl@1038a68:tool/probutils.py (feature_similarity_loss); ICAM's is twice as large.
    """
    loss: Tensor = _FeatureSimilarity.apply(scores, image.detach().clamp(0, 1), mu, sigma, reach)
    return loss


class _FeatureSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, image: Tensor, mu: float, sigma: float, reach: float) -> Tensor:
        count, cells = len(scores), scores.shape[2] * scores.shape[3]
        gradient = torch.empty_like(scores)
        for start in range(0, count, IMAGES_AT_ONCE):
            part = slice(start, start + IMAGES_AT_ONCE)
            weights = pair_weights(image[part], mu, sigma, reach)
            flat = scores[part].flatten(2).transpose(1, 2)
            spread = weights @ flat + weights.transpose(1, 2) @ flat
            total = weights.sum(2) + weights.sum(1)
            pull = total.unsqueeze(2) * flat - spread
            gradient[part] = pull.transpose(1, 2).reshape_as(gradient[part])
        gradient *= -2 / (count * cells)
        ctx.save_for_backward(gradient)
        return (scores.double() * gradient).sum().to(scores.dtype) / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradients[0] * gradient, None, None, None, None


def pair_weights(image: Tensor, mu: float, sigma: float, reach: float) -> Tensor:
    """``g f`` of each unordered pair of cells, once: [N,n,n], n = h*w, filled above the diagonal alone."""
    count, _, height, width = image.shape
    cells = height * width
    weights = image.new_zeros(count, cells, cells)
    furthest = math.floor(reach * sigma) if sigma and reach else max(height, width)
    gain = math.exp(2 * mu)
    for dy in range(min(furthest, height - 1) + 1):
        for dx in range(-min(furthest, width - 1), min(furthest, width - 1) + 1):
            if dy == 0 and dx <= 0:
                continue
            _diagonal(weights, dy, dx, height, width).copy_(
                _gate(_colour_gap(image, dy, dx), gain) * _locality(dy, dx, sigma, cells)
            )
    return weights


def _colour_gap(image: Tensor, dy: int, dx: int) -> Tensor:
    """Mean absolute difference of the channels between (y, x) and (y + dy, x + dx), [N,h',w']."""
    height, width = image.shape[2:]
    left, right = max(-dx, 0), width - max(dx, 0)
    here = image[:, :, : height - dy, left:right]
    there = image[:, :, dy:, left + dx : right + dx]
    return (here - there).abs_().mean(1)


def _gate(rho: Tensor, gain: float) -> Tensor:
    """``tanh(mu + log((rho + eps) / (1 - rho + eps)))`` without transcendental functions; ``gain`` is ``e^(2 mu)``."""
    near = (1 - rho + EPS).square_()
    far = (rho + EPS).square_().mul_(gain)
    return (far - near).div_(far.add_(near))


def _locality(dy: int, dx: int, sigma: float, cells: int) -> float:
    if not sigma:
        return 1 / cells
    return math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma)) / (2 * math.pi * sigma * sigma)


def _diagonal(weights: Tensor, dy: int, dx: int, height: int, width: int) -> Tensor:
    """View [N,h',w'] of the entries between (y, x) and (y + dy, x + dx)."""
    cells = height * width
    left, right = max(-dx, 0), width - max(dx, 0)
    step = cells + 1
    start = weights.storage_offset() + left * step + dy * width + dx
    size = (len(weights), height - dy, right - left)
    return weights.as_strided(size, (cells * cells, width * step, step), start)


def cam_scores(logits: Tensor, tags: Tensor) -> Tensor:
    """The scores that HFPL compares: max-normalised maps of the tagged classes, the rest of 1 as background.

    Args:
        logits: [N,1+C,h,w] at the network's grid; channel 0 is not read. tags: bool or float [N,C].

    Returns:
        [N,1+C,h,w] in [0,1].
    """
    foreground = max_norm(logits)[:, 1:] * tags.to(logits.dtype)[:, :, None, None]
    return with_background(foreground)
