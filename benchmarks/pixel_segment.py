"""SPML's pixel-to-segment contrast beside its plain form: value and gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from benchmarks.similarity import with_gradient
from models.losses.pixel_segment import pixel_segment_loss

KAPPA = 8.0


@dataclass(frozen=True)
class Inputs:
    """Unit vectors of pixels [N,D] and prototypes [M,D], segment and group of each pixel [N], relations [G,M]."""

    vectors: Tensor
    prototypes: Tensor
    segment: Tensor
    group: Tensor
    relation: Tensor


def inputs(pixels: int, prototypes: int, width: int, groups: int) -> Inputs:
    """Unit vectors that record gradients; each prototype belongs to one of the groups, each pixel to a prototype."""
    generator = torch.Generator().manual_seed(0)
    vectors, centres = (F.normalize(torch.randn(n, width, generator=generator), dim=1) for n in (pixels, prototypes))
    kind = torch.randint(groups, (prototypes,), generator=generator)
    segment = torch.randint(prototypes, (pixels,), generator=generator)
    relation = (torch.arange(groups)[:, None] == kind).to(torch.int8) * 2 - 1
    return Inputs(vectors.requires_grad_(), centres.requires_grad_(), segment, kind[segment], relation)


def in_parts(x: Inputs) -> Results:
    """A part of the pixels at a time, with a gradient of its own; forward and backward pass."""
    loss = pixel_segment_loss(x.vectors, x.prototypes, x.segment, x.group, x.relation, KAPPA)
    return with_gradient(loss, x.vectors, x.prototypes)


def plain(x: Inputs) -> Results:
    """Masked log-sum-exp over all pairs of a pixel and a prototype at once, gradients by autograd.

    Source: docs/methods/spml.md.
    """
    logits = KAPPA * x.vectors @ x.prototypes.T
    signs = x.relation[x.group]
    others = (signs > 0).scatter(1, x.segment[:, None], False)
    lonely = ~others.any(1, keepdim=True)
    others = others.scatter(1, x.segment[:, None], lonely)
    positive = logits.masked_fill(~others, float("-inf")).logsumexp(1)
    negative = logits.masked_fill(signs >= 0, float("-inf")).logsumexp(1)
    return with_gradient(F.softplus(negative - positive).mean(), x.vectors, x.prototypes)


CASES = {
    "loss": Case(
        "SPML's pixel-to-segment contrast",
        inputs,
        in_parts,
        plain,
        size={"pixels": 4096, "prototypes": 4000, "width": 64, "groups": 21},
        quick={"pixels": 64, "prototypes": 50, "width": 8, "groups": 5},
        tolerance=1e-3,
    )
}
