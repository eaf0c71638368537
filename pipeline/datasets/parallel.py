"""Map a function over items in several processes, in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
FEW = 32
"""Starting a process costs more than so many images."""


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of the items, whatever the number of workers.

    Processes are started afresh (spawn): a fork of a process with threads may hang.
    """
    if workers <= 1 or len(items) <= FEW:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    chunk = max(1, min(16, len(items) // (4 * workers)))
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=context) as pool:
        yield from pool.map(function, items, chunksize=chunk)
