"""The regional contrast (RCM) beside its plain form: regions, prototypes, loss and gradient; time and memory, one run.

    python -m benchmarks.regional                 # 384x384, 8 images, 256 channels, 20 classes: a minute, 8 GB
    python -m benchmarks.regional --images 2      # less memory for the plain form

Each form runs in a process of its own. Times are its CPU seconds (all threads), the smallest of the repetitions;
memory is what its peak rose by, over the inputs.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

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


def plain(x: Inputs) -> Tensor:
    """As the formulas read: every map of every class and every feature of the batch at full resolution."""
    there = x.tags[:, :, None, None]

    def regions(logits: list[Tensor]) -> Tensor:
        summed = torch.stack([_enlarge(maps, x.size).relu() * there for maps in logits]).sum(0)
        best, index = (summed / (summed.amax((2, 3), keepdim=True) + 1e-5)).max(1)
        return (index + 1).where(best >= THRESHOLD, 0)

    with torch.no_grad():
        labels = F.one_hot(regions(x.logits[1:2]), 1 + x.tags.shape[1]).float()
        unit = F.normalize(_enlarge(x.support, x.size), dim=1)
        own = F.normalize(torch.einsum("nhwk,ndhw->nkd", labels, unit), dim=2)
        del labels, unit
        others = F.normalize((own.sum(0) - own) / (len(own) - 1), dim=2)
        targets = regions(x.logits)
    logits = torch.einsum("ndhw,nkd->nkhw", F.normalize(_enlarge(x.main, x.size), dim=1), others)
    return F.cross_entropy(TEMPERATURE * logits, targets)


def enlarged_last(x: Inputs) -> Tensor:
    """Ours."""
    single = region_mask(x.logits[1:2], x.tags, x.size, THRESHOLD)
    others = leave_one_out(image_prototypes(x.support, single, x.tags.shape[1]))
    targets = region_mask(x.logits, x.tags, x.size, THRESHOLD)
    return regional_contrast(x.main, others, targets, TEMPERATURE, "faithful")


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


FORMS: dict[str, Callable[[Inputs], Tensor]] = {"plain": plain, "enlarged last": enlarged_last}


def inputs(side: int, images: int, channels: int, classes: int) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    grid = side // STRIDE
    main, support = (torch.randn(images, channels, grid, grid, generator=generator).relu() for _ in range(2))
    coarse = torch.randn(images, classes, 6, 6, generator=generator)
    logits = [_enlarge(coarse, (int(grid * scale), int(grid * scale))) for scale in SCALES]
    tags = torch.rand(images, classes, generator=generator) < 1.5 / 20
    return Inputs(main.requires_grad_(), support, logits, tags, (side, side))


def measure(name: str, shape: tuple[int, int, int, int], repetitions: int) -> tuple[float, Tensor, float, float]:
    """Value, gradient, CPU seconds of forward and backward, and megabytes above the inputs."""
    side, *rest = shape
    FORMS[name](inputs(min(side, 64), *rest)).backward()  # what torch loads at first use is not the form's
    x = inputs(*shape)
    before, best = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, math.inf
    for _ in range(repetitions):
        x.main.grad = None
        start = time.process_time()
        loss = FORMS[name](x)
        loss.backward()
        best = min(best, time.process_time() - start)
    assert x.main.grad is not None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    return loss.item(), x.main.grad, best, grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("side", 384), ("images", 8), ("channels", 256), ("classes", 20)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    shape, found = (asked.side, asked.images, asked.channels, asked.classes), {}
    for name, repetitions in (("plain", 1), ("enlarged last", 3)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (name, shape, repetitions))
        value, _, seconds, megabytes = found[name]
        print(f"{name}: loss {value:.6f}, {seconds:.2f} CPU s, {megabytes:.0f} MB", flush=True)
    (formula, slope, slow, large), (value, gradient, fast, small) = found.values()
    print(
        f"{asked.images} images, {asked.side}x{asked.side}, {asked.channels} channels, {asked.classes} classes: "
        f"{slow / fast:.1f} times less CPU time, {large / small:.1f} times less memory; off by "
        f"{abs(value / formula - 1):.1e} (value), {((gradient - slope).norm() / slope.norm()).item():.1e} "
        f"(gradient, relative norm), {((gradient - slope).abs().max() / slope.abs().max()).item():.1e} "
        "(gradient, largest)"
    )


if __name__ == "__main__":
    main()
