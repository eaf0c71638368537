"""Seconds of work on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: str, times: int = 5, warm: int = 2) -> float:
    """The median time of a call, the device's work included, after some that do not count."""
    taken = []
    for number in range(warm + times):
        wait(device)
        begin = time.perf_counter()
        work()
        wait(device)
        if number >= warm:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def set_tf32(on: bool) -> None:
    """Whether products and convolutions of float32 numbers may be taken in TF32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on


def peak_megabytes(device: str) -> float | None:
    """Most memory that tensors had on the device since the last call; None on a CPU."""
    if device != "cuda":
        return None
    most = torch.cuda.max_memory_allocated() / 1e6
    torch.cuda.reset_peak_memory_stats()
    return round(most, 1)
