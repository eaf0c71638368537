"""Map a function over many small items in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.parts import map_parts

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 16
FEW = 32
"""Starting processes costs more than so many images."""


@dataclass(frozen=True)
class _Chunks(Generic[Item, Result]):
    function: Callable[[Item], Result]
    items: Sequence[Item]

    def __call__(self, k: int) -> list[Result]:
        return [self.function(item) for item in self.items[k * CHUNK : (k + 1) * CHUNK]]


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], workers: int, desc: str) -> list[Result]:
    """``function(item)`` for every item, in order, whatever the number of workers. ``function`` is picklable."""
    chunks = range(-(-len(items) // CHUNK))
    used = 0 if workers <= 1 or len(items) <= FEW else workers
    return [result for part in map_parts(_Chunks(function, items), chunks, desc, used) for result in part]
