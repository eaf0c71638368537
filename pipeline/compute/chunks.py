"""Work in chunks: the same results and the same bytes, whatever runs them and however many workers there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from models.doors import resolve
from pipeline.compute.engines import ENGINES, processes, setting
from pipeline.compute.engines.job import Job
from pipeline.compute.threads import OneThread

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


def run_chunks(
    task: Callable[[int], Result],
    chunks: Sequence[int],
    desc: str,
    *,
    on_device: bool = False,
    workers: int | None = None,
    describe: Callable[[int], str] | None = None,
    images: Callable[[int], int] | None = None,
) -> list[Result]:
    """Run ``task(chunk)`` for every chunk of an artefact, by the engine that the environment chose.

    Every chunk is computed with one thread, so that a sum is taken in the same order wherever it runs.

    Args:
        task: picklable (a module-level function, a ``functools.partial`` of one, or an instance with ``__call__``);
            it opens its own stores, and writes what must outlive a failure of another chunk.
        chunks: chunk numbers.
        desc: what is being done, for the bar and for messages.
        on_device: the task computes on :func:`pipeline.compute.runtime.device`, which it asks for where it runs.
        workers: processes of a pool on this machine; default :func:`pipeline.compute.runtime.workers`.
        describe: what a chunk holds, for messages.
        images: how many images a chunk holds, for the bar; None counts chunks.

    Returns:
        The results, in the order of ``chunks``.

    Raises:
        ConfigurationError: the engine's setting does not hold.
        Exception: the first failure, with the chunk in a note. Chunks under way end first, the rest is not started.
    """
    job: Job[Result] = Job(OneThread(task), chunks, desc, workers, on_device, describe, images)
    run: Any = resolve(ENGINES, setting.engine(), "engine")
    results: list[Result] = run(job) if chunks else []
    return results


def map_chunks(
    task: Callable[[Chunk], Result],
    chunks: Sequence[Chunk],
    desc: str,
    workers: int | None = None,
    *,
    images: Callable[[Chunk], int] | None = None,
) -> list[Result]:
    """Run ``task(chunk)`` for every chunk in a pool of fresh processes on this machine, each with one compute thread.

    Args:
        task: picklable, as for :func:`run_chunks`.
        chunks: chunk numbers, or anything picklable that can name itself (``str``).
        desc: what is being done, for the bar and for messages.
        workers: processes; default :func:`pipeline.compute.runtime.workers`; 0 runs in this process, as it is.
        images: how many images a chunk holds, for the bar; None counts chunks.

    Returns:
        The results, in the order of ``chunks``.

    Raises:
        Exception: the first failure, with the chunk in a note. Chunks under way end first, the rest is not started.
    """
    here = setting.engine() == "here"
    return processes.run(Job(task, chunks, desc, 0 if here else workers, images=images))
