"""Chunks in a pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing.reduction import ForkingPickler
from typing import Any, ClassVar

from models.errors import TransientError
from pipeline.compute import runtime
from pipeline.compute.engines import here
from pipeline.compute.engines.fork_server import context, pickled
from pipeline.compute.engines.job import Job, Result, is_out_of_memory
from pipeline.compute.threads import one_thread
from pipeline.problems.notices import first_of


def run(job: Job[Result]) -> list[Result]:
    """Run the job in ``job.workers`` processes, or here where that is 0 or the machine's GPU does the work.

    Raises:
        TransientError: a process was killed, and fewer at a time may do.
        DataError: a process found too little memory although it worked alone.
    """
    count = _count(job)
    if count == 0:
        return here.run(job)
    task, modules = pickled(job.task)
    loaded = [*modules, __name__, *(["torch"] if job.on_device else [])]
    with (
        one_thread(),  # the processes start with its environment
        ProcessPoolExecutor(
            count, context(loaded), initializer=_start_worker, initargs=(task, dict(os.environ))
        ) as pool,
    ):
        futures = {pool.submit(_do, chunk): chunk for chunk in job.chunks}
        try:
            for future in job.bar(as_completed(futures), lambda future: futures[future]):
                _raise_failure(job, count, futures, future)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _count(job: Job[Any]) -> int:
    if job.on_device and runtime.device() != "cpu":
        return 0
    return min(runtime.workers() if job.workers is None else job.workers, len(job.chunks))


def _raise_failure(job: Job[Any], count: int, futures: Mapping[Future[Any], Any], future: Future[Any]) -> None:
    error = future.exception()
    if error is None:
        return
    killed = isinstance(error, BrokenProcessPool)
    if not killed and not is_out_of_memory(error):
        job.blame(error, futures[future])
        raise error
    what = "a worker process was killed, most often for want of memory" if killed else "there was not enough memory"
    if count == 1:
        raise job.too_large(what, _at_work(futures, 1)[0] if killed else futures[future]) from error
    chunks = _at_work(futures, count) if killed else [futures[future]]
    raise TransientError(
        f"{job.desc}: {what}. At work: {first_of([job.name(chunk) for chunk in chunks])}. Finished parts are kept: run "
        "again with fewer processes (WEAK2MASK_WORKERS=1)."
    ) from error


def _at_work(futures: Mapping[Future[Any], Any], count: int) -> list[Any]:
    """The chunks that were under way when the pool broke: the first that have no result, for they begin in order."""
    return [chunk for future, chunk in futures.items() if not future.done() or future.exception() is not None][:count]


def _start_worker(task: bytes, variables: Mapping[str, str]) -> None:
    """Keep the task; the environment is that of the process that asks, now, and not that of its fork server."""
    if variables != dict(os.environ):
        os.environ.clear()
        os.environ.update(variables)
    _Task.pickled = task
    obey_parent()


def obey_parent() -> None:
    """Ctrl-C ends this process at once, and only the parent says so; it does not outlive the parent."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


class _Task:
    """What this process does to every chunk. It arrives once: a store's header is large when its images are many."""

    pickled: ClassVar[bytes]

    @staticmethod
    @cache
    def opened() -> Any:
        return ForkingPickler.loads(_Task.pickled)


def _do(chunk: Any) -> Any:
    """Opens the task here and not when the process starts, so that a failure is the chunk's."""
    return _Task.opened()(chunk)


def _exit_with_parent() -> None:
    """A pool's worker outlives a parent that was killed; this one does not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
