"""Map a function over many small items in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.compute.chunks import map_chunks

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK = 16
FEW = 32
"""Starting processes costs more than so many images."""


@dataclass(frozen=True, eq=False)
class _Chunk(Generic[Item]):
    """Some of the items, which travel to the process that works on them and to no other."""

    first: int
    items: Sequence[Item]

    def __str__(self) -> str:
        return f"of items {self.first} to {self.first + len(self.items) - 1}"


@dataclass(frozen=True)
class _OnChunk(Generic[Item, Result]):
    function: Callable[[Item], Result]

    def __call__(self, chunk: _Chunk[Item]) -> list[Result]:
        return [self.function(item) for item in chunk.items]


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], workers: int, desc: str) -> list[Result]:
    """``function(item)`` for every item, in order, whatever the number of workers. ``function`` is picklable."""
    chunks = [_Chunk(first, items[first : first + CHUNK]) for first in range(0, len(items), CHUNK)]
    used = 0 if workers <= 1 or len(items) <= FEW else workers
    by_chunk = map_chunks(_OnChunk(function), chunks, desc, used, images=lambda chunk: len(chunk.items))
    return [result for part in by_chunk for result in part]
