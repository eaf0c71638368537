"""The regional contrast (RCM) beside its plain form: regions, prototypes, loss and gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from benchmarks.similarity import with_gradient
from models.losses.regional_contrast import image_prototypes, leave_one_out, region_mask, regional_contrast

THRESHOLD, TEMPERATURE = 0.3, 2.0
STRIDE, SCALES = 8, (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Inputs:
    """What the networks give: features of both [N,D,h,w], CAMs at each scale [N,C,h,w], tags [N,C]; size in pixels."""

    main: Tensor
    support: Tensor
    logits: list[Tensor]
    tags: Tensor
    size: tuple[int, int]


def inputs(side: int, images: int, channels: int, classes: int) -> Inputs:
    """Random features and tags, smooth CAMs."""
    generator = torch.Generator().manual_seed(0)
    grid = side // STRIDE
    main, support = (torch.randn(images, channels, grid, grid, generator=generator).relu() for _ in range(2))
    coarse = torch.randn(images, classes, 6, 6, generator=generator)
    logits = [_enlarge(coarse, (int(grid * scale), int(grid * scale))) for scale in SCALES]
    tags = torch.rand(images, classes, generator=generator) < 1.5 / classes
    return Inputs(main.requires_grad_(), support, logits, tags, (side, side))


def enlarged_last(x: Inputs) -> Results:
    """Features stay at their grid, products and maps of the tagged classes alone are enlarged."""
    single = region_mask(x.logits[1:2], x.tags, x.size, THRESHOLD)
    others = leave_one_out(image_prototypes(x.support, single, x.tags.shape[1]))
    targets = region_mask(x.logits, x.tags, x.size, THRESHOLD)
    return with_gradient(regional_contrast(x.main, others, targets, TEMPERATURE, "faithful"), x.main)


def plain(x: Inputs) -> Results:
    """As the formulas read: every map of every class and every feature of the batch at full resolution.

    Source: docs/methods/rcm_mam.md.
    """
    there = x.tags[:, :, None, None]

    def regions(logits: list[Tensor]) -> Tensor:
        summed = torch.stack([_enlarge(maps, x.size).relu() * there for maps in logits]).sum(0)
        best, index = (summed / (summed.amax((2, 3), keepdim=True) + 1e-5)).max(1)
        return (index + 1).where(best >= THRESHOLD, 0)

    with torch.no_grad():
        labels = F.one_hot(regions(x.logits[1:2]), 1 + x.tags.shape[1]).float()
        unit = F.normalize(_enlarge(x.support, x.size), dim=1)
        prototypes = F.normalize(torch.einsum("nhwk,ndhw->nkd", labels, unit), dim=2)
        del labels, unit
        others = F.normalize((prototypes.sum(0) - prototypes) / (len(prototypes) - 1), dim=2)
        targets = regions(x.logits)
    logits = torch.einsum("ndhw,nkd->nkhw", F.normalize(_enlarge(x.main, x.size), dim=1), others)
    return with_gradient(F.cross_entropy(TEMPERATURE * logits, targets), x.main)


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


CASES = {
    "loss": Case(
        "Regional contrast (RCM)",
        inputs,
        enlarged_last,
        plain,
        size={"side": 384, "images": 3, "channels": 256, "classes": 20},
        quick={"side": 64, "images": 3, "channels": 8, "classes": 5},
        tolerance=1e-2,
        repetitions=3,
    )
}
