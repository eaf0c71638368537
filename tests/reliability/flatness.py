"""What a process and its children hold at a moment, and whether that stays flat while work goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from scipy.stats import theilslopes


@dataclass(frozen=True)
class Held:
    """At one moment: resident memory in MB, open files and sockets, threads; all of a process and its children.

    ``scratch`` counts the files below the folders of unfinished work.
    """

    megabytes: float
    files: int
    threads: int
    scratch: int


def held(pid: int, scratch: Sequence[Path] = ()) -> Held:
    """What process ``pid`` and its children hold now."""
    megabytes, files, threads = 0.0, 0, 0
    of_all = [psutil.Process(pid)]
    of_all += of_all[0].children(recursive=True)
    for process in of_all:
        with suppress(psutil.Error):  # it has just ended
            megabytes += process.memory_info().rss / 1e6
            files += process.num_fds()
            threads += process.num_threads()
    return Held(megabytes, files, threads, sum(1 for folder in scratch for path in folder.rglob("*") if path.is_file()))


@contextmanager
def watched(pid: int, every_seconds: float, scratch: Sequence[Path] = ()) -> Iterator[list[Held]]:
    """Look every so often, from a thread, while the block lasts; the list grows."""
    seen: list[Held] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(every_seconds):
            with suppress(psutil.Error):
                seen.append(held(pid, scratch))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def require_flat(seen: Sequence[Held], megabytes: float) -> dict[str, str]:
    """The second half of the looks holds no more than the first half, but for ``megabytes`` of memory.

    Returns:
        What :func:`trends` says, from five looks on.

    Raises:
        AssertionError: something grows; names it, with the medians of both halves.
    """
    half = len(seen) // 2
    assert half >= 1, f"{len(seen)} looks are too few"
    for name, allowed in {"megabytes": megabytes, "files": 2, "threads": 2, "scratch": 0}.items():
        before, after = (median(getattr(one, name) for one in part) for part in (seen[:half], seen[-half:]))
        assert after <= before + allowed, f"{name}: {before:.1f} in the first half, {after:.1f} in the second"
    return trends(seen) if len(seen) >= 5 else {}


def trends(seen: Sequence[Held]) -> dict[str, str]:
    """What is held -> how much more of it one look has than the look before: Theil and Sen's slope, and its 95 %."""
    found = {}
    for name, unit in {
        "megabytes": "MB",
        "files": "open files",
        "threads": "threads",
        "scratch": "scratch files",
    }.items():
        slope, _, low, high = theilslopes([getattr(one, name) for one in seen], alpha=0.95)
        found[f"{unit} more a look, of {len(seen)} looks"] = f"{slope:+.3f} (95%: {low:+.3f} to {high:+.3f})"
    return found
