"""Random walks and pixel-adaptive refinement beside their straightforward dense forms, in one run.

    python -m benchmarks.walks            # the dense forms at reduced size, a minute or two
    python -m benchmarks.walks --full     # IRN's dense walk at 94x125 too: 2.5 GB, minutes

Times are CPU seconds of this process (all threads), the smallest of the repetitions.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from models.methods.boundary_net import boundary_links
from models.ops.adaptive_settings import KINDS
from models.ops.affinity import feature_affinity
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.pixel_pairs import pair_offsets
from models.ops.random_walk import PairLinks


def cpu_seconds(task: Callable[[], object], repetitions: int = 3) -> float:
    """CPU seconds of the fastest repetition."""
    best = float("inf")
    for _ in range(repetitions):
        start = time.process_time()
        task()
        best = min(best, time.process_time() - start)
    return best


def dense_walk(matrix: np.ndarray, values: np.ndarray, beta: float, log_t: int) -> np.ndarray:
    """The published form: power, normalise, square, one product."""
    transition = torch.from_numpy(matrix).float() ** beta
    transition = transition / transition.sum(0)
    for _ in range(log_t):
        transition = transition @ transition
    return (torch.from_numpy(values).float().flatten(1) @ transition).view(values.shape).numpy()


def dense_adaptive(refine: PixelAdaptive, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The published form: all neighbours of all channels side by side, by a convolution for each dilation."""
    kernel = torch.zeros(8, 1, 3, 3)
    for index, (dy, dx) in enumerate((y, x) for y in range(3) for x in range(3) if (y, x) != (1, 1)):
        kernel[index, 0, dy, dx] = 1
    weights = refine.weights(image).unsqueeze(1)
    for _ in range(refine.iterations):
        batch, channels, height, width = mask.shape
        flat = mask.view(batch * channels, 1, height, width)
        rings = [
            F.conv2d(F.pad(flat, (d,) * 4, mode="replicate"), kernel, dilation=d).view(
                batch, channels, 8, height, width
            )
            for d in refine.dilations
        ]
        mask = (torch.cat(rings, 2) * weights).sum(2)
    return mask


def irn(size: tuple[int, int], dense: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    boundary = torch.rand(1, *size, generator=generator) ** 4
    values = np.random.default_rng(0).random((2, *size))
    links = boundary_links(boundary, 5)
    ours = cpu_seconds(lambda: boundary_links(boundary, 5).walk(values, 10, 256))
    line = f"IRN walk {size[0]}x{size[1]}, 2 classes, 256 steps: {ours:.2f} s"
    if dense:
        matrix = links.matrix().toarray()
        damped = values * links.damping
        reference = cpu_seconds(lambda: dense_walk(matrix, damped, 10, 8), 1)
        gap = np.abs(dense_walk(matrix, damped, 10, 8) - links.walk(values, 10, 256)).max()
        line += f"; dense {reference:.1f} s, {reference / ours:.0f} times; largest difference {gap:.1e}"
    report(line)


def psa(size: tuple[int, int]) -> None:
    features = torch.rand(1, 448, *size, generator=torch.Generator().manual_seed(0)) * 3
    values = np.random.default_rng(0).random((3, *size))
    offsets = pair_offsets(5)

    def walk() -> np.ndarray:
        affinity = feature_affinity(features, offsets, 5)[0].numpy()
        return PairLinks(affinity, offsets, size, 4).walk(values, 8, 256)

    affinity = feature_affinity(features, offsets, 5)[0].numpy()
    links = PairLinks(affinity, offsets, size, 4)
    ours = cpu_seconds(walk)
    reference = cpu_seconds(lambda: dense_walk(links.matrix().toarray(), values, 8, 8), 1)
    gap = np.abs(dense_walk(links.matrix().toarray(), values, 8, 8) - walk()).max()
    report(
        f"PSA walk {size[0]}x{size[1]}, affinity from 448 features included: {ours:.2f} s; dense (affinity not "
        f"included) {reference:.1f} s, {reference / ours:.0f} times; largest difference {gap:.1e}"
    )


def adaptive(channels: int, size: int = 448) -> None:
    generator = torch.Generator().manual_seed(0)
    image, mask = torch.rand(1, 3, size, size, generator=generator), torch.rand(1, channels, size, size)
    for kind in KINDS:
        refine = PixelAdaptive(kind)
        with torch.no_grad():
            ours = cpu_seconds(lambda refine=refine: refine(image, mask), 2)
            line = f"{kind.upper()} {size}x{size}, {channels} classes, 10 iterations: {ours:.2f} s"
            if channels <= 3:
                reference = cpu_seconds(lambda refine=refine: dense_adaptive(refine, image, mask), 1)
                gap = (refine(image, mask) - dense_adaptive(refine, image, mask)).abs().max()
                line += f"; side by side {reference:.1f} s, {reference / ours:.1f} times; difference {gap:.1e}"
        report(line)


def report(line: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"{line}; process peak so far {peak:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="IRN's dense walk at 94x125 too (2.5 GB, minutes)")
    full = parser.parse_args().full
    report("start")
    adaptive(21)
    irn((94, 125), dense=False)
    adaptive(3)
    irn((60, 80), dense=True)
    psa((47, 63))
    if full:
        irn((94, 125), dense=True)


if __name__ == "__main__":
    main()
