"""Worker processes as forks of one process that has loaded what they need and computed nothing.

A process that starts by itself loads the libraries anew, torch for seconds of a core, and there is one for each core of
the machine. Python's fork server loads them once. It is a process of its own, since one with threads (Zarr's, torch's)
cannot be forked safely, and ends with the process that started it.
"""

from __future__ import annotations

import io
import multiprocessing
import sys
from collections.abc import Iterable
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from typing import Any

RARE_COLLECTIONS = "pipeline.compute.rare_collections"


class _Pickler(ForkingPickler):
    """Notes the modules of the classes and functions of what it pickles."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    def reducer_override(self, item: Any) -> Any:
        self.modules.add(getattr(item, "__module__", None) or type(item).__module__)
        return NotImplemented


def pickled(item: Any) -> tuple[bytes, set[str]]:
    """The item for another process, and the names of the modules that unpickling it imports."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(item)
    return file.getvalue(), pickler.modules


def context(modules: Iterable[str]) -> BaseContext:
    """A way to start processes that have these modules loaded; elsewhere than on Linux each loads them itself.

    A second server is not started: later workers are forks of the first one, and load what that has not. They have
    the environment that it was started with.
    """
    if sys.platform != "linux":  # frameworks of macOS do not survive a fork
        return multiprocessing.get_context("spawn")
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([RARE_COLLECTIONS, *sorted({*modules} - {"__main__"})])
    return forks
