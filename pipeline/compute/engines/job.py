"""What an engine is given to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from models.errors import DataError
from pipeline.compute.bars import progress

Result = TypeVar("Result")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Job(Generic[Result]):
    """A task and the chunks to run it on. An engine returns the results in the order of the chunks.

    An engine raises the first failure, with the chunk in a note, when the chunks under way have ended; what these
    wrote stays, and the rest is not started.

    Attributes:
        task: picklable; it opens its own stores, and writes what must outlive a failure of another chunk.
        chunks: chunk numbers, or what a chunk is made of.
        desc: what is being done, for the bar and for messages.
        workers: processes of a local pool; 0 stays in this process; None takes
            :func:`pipeline.compute.runtime.workers`.
        on_device: the task computes on :func:`pipeline.compute.runtime.device`, of which a machine has one or a few.
        describe: what a chunk holds, for messages.
        images: how many images a chunk holds, for the bar; None counts chunks.
    """

    task: Callable[[Any], Result]
    chunks: Sequence[Any]
    desc: str
    workers: int | None = None
    on_device: bool = False
    describe: Callable[[Any], str] | None = None
    images: Callable[[Any], int] | None = None

    def bar(self, done: Iterable[Done], chunk_of: Callable[[Done], Any]) -> Iterator[Done]:
        """Yield what has been done behind a bar; ``chunk_of`` gives the chunk of each."""
        size = self.images or (lambda chunk: 1)
        unit = "part" if self.images is None else "image"
        return progress(done, sum(map(size, self.chunks)), self.desc, unit=unit, size=lambda each: size(chunk_of(each)))

    def name(self, chunk: Any) -> str:
        """The chunk as a message names it: ``part 3 (2007_000032 to 2007_000999)``."""
        return f"part {chunk}" + (f" ({self.describe(chunk)})" if self.describe else "")

    def too_large(self, what: str, chunk: Any) -> DataError:
        """The error for a chunk that found too little memory although it had the machine for itself."""
        return DataError(
            f"{self.desc}: {what}, in {self.name(chunk)}. Nothing else of this run was at work, so fewer processes "
            "would not help. Use smaller copies of large images and of their masks (1500 pixels a side are plenty), "
            "or a machine with more memory. Finished parts are kept."
        )

    def blame(self, error: BaseException, chunk: Any) -> None:
        """Note on the error in which chunk it happened."""
        error.add_note(f"{self.desc}: in {self.name(chunk)}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is Python's, NumPy's or torch's for memory that was not there."""
    message = str(error).lower()
    torch = isinstance(error, RuntimeError) and ("out of memory" in message or "allocate memory" in message)
    return isinstance(error, MemoryError) or torch
