"""What kind of machine this is, in words that name no model: beside a number, for who wants to compare or repeat it."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

GPU_FOLDER = Path("/proc/driver/nvidia/gpus")
"""Has one folder for each GPU, where NVIDIA's driver is loaded."""
MEMINFO = Path("/proc/meminfo")
"""What Linux says about memory."""
CGROUP = Path("/sys/fs/cgroup")
"""A container's limits."""


def machine_kind(gpus: Path = GPU_FOLDER) -> str:
    """Cores that this process may use, and GPUs that it may see: "2 cores, no GPU", "16 cores, 1 GPU".

    No package is imported for it. GPUs that ``WEAK2MASK_DEVICE=cpu`` or ``CUDA_VISIBLE_DEVICES`` hides are not counted.

    Args:
        gpus: the folder with one entry for each GPU of the machine; without it there is none.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = _visible(len(list(gpus.iterdir())) if gpus.is_dir() else 0)
    return f"{_counted(cores, 'core')}, {_counted(count, 'GPU') if count else 'no GPU'}"


def free_memory(meminfo: Path = MEMINFO, limits: Path = CGROUP) -> int | None:
    """Bytes that this machine, or the container on it, can still give; None where it does not say (macOS).

    Files that Linux keeps in memory only until somebody needs it count as free.
    """
    free = []
    with suppress(OSError, LookupError, ValueError):
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free.append(1024 * int(lines["MemAvailable"].split()[0]))
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        free.append(int((limits / "memory.max").read_text()) - int((limits / "memory.current").read_text()))
        kept = dict(line.split() for line in (limits / "memory.stat").read_text().splitlines())
        free[-1] += int(kept.get("inactive_file", 0))
    return max(0, min(free)) if free else None


def _visible(count: int) -> int:
    if os.environ.get("WEAK2MASK_DEVICE", "").strip().partition(":")[0] == "cpu":
        return 0
    named = named_gpus()
    return count if named is None else min(count, len(named))


def named_gpus() -> list[str] | None:
    """The GPUs of ``CUDA_VISIBLE_DEVICES``, up to the first that is none (-1), as CUDA does; None: it is not set."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return None
    names = [name.strip() for name in named.split(",")]
    return list(takewhile(lambda name: not name.startswith("-"), filter(None, names)))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
