"""The nearest prototypes beside a full sort: CPU time, memory and whether both find the same.

    python -m benchmarks.neighbours                                    # 200 queries x 500,000 prototypes
    python -m benchmarks.neighbours --prototypes 5000000 --no-sort     # as many as VOC's training images have

Prototypes are random unit vectors. Each form runs in a process of its own; see ``benchmarks.pixel_segment``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.nearest import nearest


def sorted_whole(queries: Tensor, prototypes: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """All cosines of a query in order, of which the first k are taken: as the published code does it."""
    found = (queries @ prototypes.T).sort(dim=1, descending=True)
    return found.values[:, :k], found.indices[:, :k]


FORMS: dict[str, Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]] = {"sorted": sorted_whole, "nearest": nearest}


def measure(name: str, queries: int, prototypes: int, width: int, k: int) -> tuple[Tensor, float, float]:
    """Indices, CPU seconds, and megabytes above the inputs."""
    generator = torch.Generator().manual_seed(0)
    asked, bank = (F.normalize(torch.randn(n, width, generator=generator), dim=1) for n in (queries, prototypes))
    _ = (asked[:8] @ bank[:8].T).sum().item()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = FORMS[name](asked, bank, k)[1]
    seconds = time.process_time() - start
    return found, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--prototypes", type=int, default=500_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--no-sort", action="store_true", help="ours alone")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must not count as work
    found = {}
    for name in ["nearest"] if asked.no_sort else list(FORMS):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (name, asked.queries, asked.prototypes, asked.width, asked.k))
        print(f"{name}: {found[name][1]:.2f} CPU s, {found[name][2]:.0f} MB", flush=True)
    if len(found) == 2:
        (one, slow, large), (other, fast, small) = found.values()
        same = (one == other).float().mean().item()
        print(
            f"{asked.queries} queries x {asked.prototypes} prototypes x {asked.width}, {asked.k} nearest: "
            f"{slow / fast:.1f} times less CPU time, {large / max(small, 1):.1f} times less memory, "
            f"{100 * same:.2f} % equal"
        )


if __name__ == "__main__":
    main()
