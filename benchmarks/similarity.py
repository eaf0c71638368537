"""HFPL's feature similarity loss beside its all-pairs form: value, gradient, time and memory, in one run.

    python -m benchmarks.similarity                 # 56x56, 8 images, 21 channels: a minute
    python -m benchmarks.similarity --side 32       # a smaller grid

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

import torch
from torch import Tensor

from models.losses.feature_similarity import feature_similarity

MU, SIGMA = 2.5, 5.0


def all_pairs(image: Tensor, scores: Tensor) -> Tensor:
    """The loss as its formula reads: every pair tensor of the batch at once, gradient by autograd."""
    count, _, height, width = image.shape
    cells = height * width
    colour = image.flatten(2)
    rho = torch.zeros(count, cells, cells)
    for channel in colour.unbind(1):
        rho += (channel[:, :, None] - channel[:, None]).abs() / 3
    gate = torch.tanh(MU + torch.log((rho.clamp(0, 1) + 1e-5) / (1 - rho.clamp(0, 1) + 1e-5)))
    ys, xs = (
        axis.flatten().float() for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    distance = (ys[:, None] - ys).square() + (xs[:, None] - xs).square()
    near = torch.exp(-distance / (2 * SIGMA**2)) / (2 * math.pi * SIGMA**2)
    flat = scores.flatten(2)
    norms = flat.square().sum(1)
    apart = (norms[:, :, None] + norms[:, None]) / 2 - flat.transpose(1, 2) @ flat
    return -(near * gate * apart).sum() / (count * cells)


def windowed(image: Tensor, scores: Tensor) -> Tensor:
    """Ours, at its default reach of 4 sigma."""
    return feature_similarity(image, scores, MU, SIGMA)


FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"all pairs": all_pairs, "windowed": windowed}


def measure(name: str, side: int, images: int, channels: int, repetitions: int) -> tuple[float, Tensor, float, float]:
    """Value, gradient, CPU seconds of forward and backward, and megabytes above the inputs."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(images, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=True)
    scores = torch.rand(images, channels, side, side, generator=generator, requires_grad=True)
    _ = scores.square().sum().item()
    before, best = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, math.inf
    for _ in range(repetitions):
        scores.grad = None
        start = time.process_time()
        loss = FORMS[name](image, scores)
        loss.backward()
        best = min(best, time.process_time() - start)
    assert scores.grad is not None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    return loss.item(), scores.grad, best, grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=56)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--channels", type=int, default=21)
    asked = parser.parse_args()
    found = {}
    for name, repetitions in (("all pairs", 1), ("windowed", 3)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (name, asked.side, asked.images, asked.channels, repetitions))
        value, _, seconds, megabytes = found[name]
        print(f"{name}: loss {value:.6f}, {seconds:.2f} CPU s, {megabytes:.0f} MB", flush=True)
    (plain, slope, slow, large), (value, gradient, fast, small) = found.values()
    print(
        f"{asked.images} images, {asked.channels} channels, {asked.side}x{asked.side}: {slow / fast:.1f} times less "
        f"CPU time, {large / small:.1f} times less memory; off by {abs(value / plain - 1):.1e} (value), "
        f"{((gradient - slope).norm() / slope.norm()).item():.1e} (gradient, relative norm), "
        f"{((gradient - slope).abs().max() / slope.abs().max()).item():.1e} (gradient, largest)"
    )


if __name__ == "__main__":
    main()
