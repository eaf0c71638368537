"""Pixel-adaptive refinement (PAMR, PAR, VARM) beside its published form: all neighbours side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from models.ops.adaptive_settings import DILATIONS
from models.ops.pixel_adaptive import PixelAdaptive

ITERATIONS = 10
PLACES = tuple((y, x) for y in range(3) for x in range(3))


@dataclass(frozen=True)
class Inputs:
    """Image [1,3,H,W] in [0,1] and mask [1,K,H,W]."""

    kind: str
    image: Tensor
    mask: Tensor


def inputs(kind: str, side: int, classes: int) -> Inputs:
    """Noise over a smooth picture, and a random mask."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=True)
    image = (smooth + 0.1 * torch.rand(1, 3, side, side, generator=generator)) / 1.1
    return Inputs(kind, image, torch.rand(1, classes, side, side, generator=generator))


@torch.no_grad()
def ours(x: Inputs) -> Results:
    """Neighbours as views of one padded picture, added up row block by row block."""
    return {"refined": PixelAdaptive(x.kind, ITERATIONS)(x.image, x.mask)}  # type: ignore[arg-type]


@torch.no_grad()
def reference(x: Inputs) -> Results:
    """The 48 neighbours side by side, a convolution for each dilation, as the formulas of weights and average read.

    Source: docs/methods/pixel_adaptive.md.
    """
    weights, mask = WEIGHTS[x.kind](x.image), x.mask
    for _ in range(ITERATIONS):
        mask = (neighbours(mask) * weights).sum(2)
    return {"refined": mask}


def neighbours(maps: Tensor, centre: bool = False) -> Tensor:
    """Values of the ring of each dilation, [B,K,N,H,W] for maps [B,K,H,W]; with the pixel itself in each if wanted."""
    batch, channels, height, width = maps.shape
    places = [place for place in PLACES if centre or place != (1, 1)]
    kernel = torch.zeros(len(places), 1, 3, 3)
    for index, (y, x) in enumerate(places):
        kernel[index, 0, y, x] = 1
    flat = maps.reshape(batch * channels, 1, height, width)
    rings = [F.conv2d(F.pad(flat, (d,) * 4, mode="replicate"), kernel, dilation=d) for d in DILATIONS]
    return torch.cat([ring.view(batch, channels, len(places), height, width) for ring in rings], 2)


def pamr(image: Tensor) -> Tensor:
    """Softmax of -|I_i - I_j| / (1e-8 + 0.1 sigma), mean over channels; sigma over the rings and their centres."""
    deviation = neighbours(image, centre=True).std(2, keepdim=True)
    gaps = (neighbours(image) - image.unsqueeze(2)).abs() / (1e-8 + 0.1 * deviation)
    return (-gaps.mean(1, keepdim=True)).softmax(2)


def par(image: Tensor) -> Tensor:
    """Softmax of -(|I_i - I_j| / sigma / 0.3)^2, mean over channels, and 0.01 of one of distances."""
    around = neighbours(image)
    gaps = (around - image.unsqueeze(2)).abs() / (around.std(2, keepdim=True) + 1e-8) / 0.3
    ring = [(dy - 1, dx - 1) for dy, dx in PLACES if (dy, dx) != (1, 1)]
    distances = torch.tensor([d * (dy * dy + dx * dx) ** 0.5 for d in DILATIONS for dy, dx in ring])
    near = (-((distances / (distances.std() + 1e-8) / 0.3) ** 2)).softmax(0)
    return (-gaps.square().mean(1, keepdim=True)).softmax(2) + 0.01 * near.view(1, 1, -1, 1, 1)


def varm(image: Tensor) -> Tensor:
    """Softmax of -(4 |I_i - I_j| / sigma)^2, mean over channels, less 0.01 of one of the neighbours' gradients."""
    around = neighbours(image)
    gaps = 4 * (around - image.unsqueeze(2)).abs() / (around.std(2, keepdim=True) + 1e-8)
    down = F.pad(around.diff(dim=3).square().mean(1, keepdim=True), (0, 0, 0, 1))
    right = F.pad(around.diff(dim=4).square().mean(1, keepdim=True), (0, 1))
    return (-gaps.square().mean(1, keepdim=True)).softmax(2) - 0.01 * (down + right).softmax(2)


WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {"pamr": pamr, "par": par, "varm": varm}
CASES = {
    kind: Case(
        f"{kind.upper()}, {ITERATIONS} iterations",
        partial(inputs, kind),
        ours,
        reference,
        size={"side": 320, "classes": 3},
        quick={"side": 32, "classes": 2},
        tolerance=1e-4,
        repetitions=3,
    )
    for kind in WEIGHTS
}
