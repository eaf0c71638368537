"""SPML's pixel-to-segment contrast beside its plain form: value, gradient, time and memory, in one run.

    python -m benchmarks.pixel_segment                      # 16,384 pixels x 8,000 prototypes x 64: a minute
    python -m benchmarks.pixel_segment --pixels 4096

The plain form is the formula as it reads, in logarithms, with autograd. Each form runs in a process of its own. Times
are its CPU seconds (all threads) for forward and backward, the smallest of the repetitions; memory is what its peak
rose by, over the inputs.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses.pixel_segment import pixel_segment_loss

KAPPA = 8.0


def plain(
    embeddings: Tensor, prototypes: Tensor, segment: Tensor, group: Tensor, relation: Tensor, kappa: float
) -> Tensor:
    """Masked log-sum-exp over all pairs at once."""
    logits = kappa * embeddings @ prototypes.T
    signs = relation[group]
    others = (signs > 0).scatter(1, segment[:, None], False)
    lonely = ~others.any(1, keepdim=True)
    others = others.scatter(1, segment[:, None], lonely)
    positive = logits.masked_fill(~others, float("-inf")).logsumexp(1)
    negative = logits.masked_fill(signs >= 0, float("-inf")).logsumexp(1)
    return F.softplus(negative - positive).mean()


FORMS: dict[str, Callable[..., Tensor]] = {"plain": plain, "in parts": pixel_segment_loss}


def inputs(pixels: int, prototypes: int, width: int, groups: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Unit vectors that record gradients; each prototype belongs to one of the groups, each pixel to a prototype."""
    generator = torch.Generator().manual_seed(0)
    vectors, centres = (F.normalize(torch.randn(n, width, generator=generator), dim=1) for n in (pixels, prototypes))
    kind = torch.randint(groups, (prototypes,), generator=generator)
    segment = torch.randint(prototypes, (pixels,), generator=generator)
    relation = (torch.arange(groups)[:, None] == kind).to(torch.int8) * 2 - 1
    return vectors.requires_grad_(), centres.requires_grad_(), segment, kind[segment], relation


def measure(
    name: str, sizes: tuple[int, int, int, int], repetitions: int
) -> tuple[float, tuple[Tensor, Tensor], float, float]:
    """Value, gradients, CPU seconds of forward and backward, and megabytes above the inputs."""
    vectors, centres, *rest = inputs(*sizes)
    _ = (vectors[:8] @ centres[:8].T).sum().item()
    before, best = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, math.inf
    for _ in range(repetitions):
        vectors.grad = centres.grad = None
        start = time.process_time()
        loss = FORMS[name](vectors, centres, *rest, KAPPA)
        loss.backward()
        best = min(best, time.process_time() - start)
    assert vectors.grad is not None
    assert centres.grad is not None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    return loss.item(), (vectors.grad, centres.grad), best, grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=16384)
    parser.add_argument("--prototypes", type=int, default=8000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--groups", type=int, default=21, help="classes, or images with other tags")
    asked = parser.parse_args()
    sizes = (asked.pixels, asked.prototypes, asked.width, asked.groups)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not count as work
    found = {}
    for name, repetitions in (("plain", 2), ("in parts", 3)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (name, sizes, repetitions))
        value, _, seconds, megabytes = found[name]
        print(f"{name}: loss {value:.6f}, {seconds:.2f} CPU s, {megabytes:.0f} MB", flush=True)
    (one, slopes, slow, large), (other, ours, fast, small) = found.values()
    off = [f"{((a - b).abs().max() / b.abs().max()).item():.1e}" for a, b in zip(ours, slopes, strict=True)]
    print(
        f"{asked.pixels} pixels x {asked.prototypes} prototypes x {asked.width}: {slow / fast:.1f} times less CPU "
        f"time, {large / max(small, 1):.1f} times less memory; off by {abs(other / one - 1):.1e} (value), {off[0]} and "
        f"{off[1]} (gradients of pixels and prototypes, largest)"
    )


if __name__ == "__main__":
    main()
