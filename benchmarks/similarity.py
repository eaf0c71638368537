"""HFPL's feature similarity loss beside its all-pairs form: value and gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.frame import Case, Results
from models.losses.feature_similarity import feature_similarity

MU, SIGMA = 2.5, 5.0


@dataclass(frozen=True)
class Inputs:
    """Images [B,3,h,w] in [0,1] and scores [B,K,h,w] that record gradients."""

    image: Tensor
    scores: Tensor


def inputs(side: int, images: int, channels: int) -> Inputs:
    """Smooth images and random scores."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(images, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=True)
    return Inputs(image, torch.rand(images, channels, side, side, generator=generator, requires_grad=True))


def windowed(x: Inputs) -> Results:
    """Pairs within 4 sigma, window by window, with a gradient of its own; forward and backward pass."""
    return with_gradient(feature_similarity(x.image, x.scores, MU, SIGMA), x.scores)


def all_pairs(x: Inputs) -> Results:
    """The loss as its formula reads: every pair of cells of the batch at once, gradient by autograd.

    Source: docs/methods/hfpl.md.
    """
    count, _, height, width = x.image.shape
    cells = height * width
    rho = torch.zeros(count, cells, cells)
    for channel in x.image.flatten(2).unbind(1):
        rho += (channel[:, :, None] - channel[:, None]).abs() / 3
    gate = torch.tanh(MU + torch.log((rho.clamp(0, 1) + 1e-5) / (1 - rho.clamp(0, 1) + 1e-5)))
    ys, xs = (
        axis.flatten().float() for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    distance = (ys[:, None] - ys).square() + (xs[:, None] - xs).square()
    near = torch.exp(-distance / (2 * SIGMA**2)) / (2 * math.pi * SIGMA**2)
    flat = x.scores.flatten(2)
    norms = flat.square().sum(1)
    apart = (norms[:, :, None] + norms[:, None]) / 2 - flat.transpose(1, 2) @ flat
    return with_gradient(-(near * gate * apart).sum() / (count * cells), x.scores)


def with_gradient(loss: Tensor, *leaves: Tensor) -> Results:
    """The loss and its gradients."""
    gradients = torch.autograd.grad(loss, leaves)
    return {"loss": loss, **{f"gradient {index}": gradient for index, gradient in enumerate(gradients)}}


CASES = {
    "loss": Case(
        "HFPL's feature similarity loss",
        inputs,
        windowed,
        all_pairs,
        size={"side": 56, "images": 2, "channels": 21},
        quick={"side": 16, "images": 2, "channels": 3},
        tolerance=1e-3,
        repetitions=3,
    )
}
