"""The card, the versions, and the rates that it reaches in the plainest programs: what others are shares of."""

from __future__ import annotations

import os
import platform

import torch

from benchmarks.gpu.parts import Given
from benchmarks.gpu.timing import seconds_of, set_tf32


def run(given: Given) -> None:
    """Rows: the machine, a product of matrices in each arithmetic, a copy."""
    cuda = given.device == "cuda"
    card = torch.cuda.get_device_properties(0) if cuda else None
    given.keep(
        {
            "card": card.name if card else platform.processor(),
            "memory GB": round(card.total_memory / 1e9, 1) if card else None,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
        }
    )
    for arithmetic in ("float32", "tf32", "bfloat16"):
        given.keep({"arithmetic": arithmetic, "TFLOP/s": peak(given, arithmetic) / 1e12})
    source = torch.rand(2**22 if given.tiny else 2**29, device=given.device)
    target = torch.empty_like(source)
    taken = seconds_of(lambda: target.copy_(source), given.device)
    given.keep({"copy GB/s, read and written": 2 * source.nbytes / taken / 1e9})


def peak(given: Given, arithmetic: str) -> float:
    """Operations a second of a product of two square matrices; two for a multiplication with its addition."""
    set_tf32(arithmetic == "tf32")
    side = 256 if given.tiny else 8192
    dtype = torch.bfloat16 if arithmetic == "bfloat16" else torch.float32
    one, other = (torch.randn(side, side, device=given.device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: one @ other, given.device)
