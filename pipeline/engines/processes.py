"""Parts in a pool of fresh processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing.reduction import ForkingPickler
from typing import Any, ClassVar

from models.errors import TransientError
from pipeline import runtime
from pipeline.engines import here
from pipeline.engines.job import Job, Result
from pipeline.threads import one_thread


def run(job: Job[Result]) -> list[Result]:
    """Run the job in ``job.workers`` processes, or here where that is 0 or the machine's GPU does the work.

    Raises:
        TransientError: a process was killed.
    """
    count = _count(job)
    if count == 0:
        return here.run(job)
    with (
        one_thread(),  # the processes start with its environment
        ProcessPoolExecutor(
            count,
            multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(ForkingPickler.dumps(job.task).tobytes(),),
        ) as pool,
    ):
        futures = {pool.submit(_do, part): part for part in job.parts}
        try:
            for future in job.bar(as_completed(futures), lambda future: futures[future]):
                _raise_failure(job, future, futures[future])
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _count(job: Job[Any]) -> int:
    if job.on_device and runtime.device() != "cpu":
        return 0
    return min(runtime.workers() if job.workers is None else job.workers, len(job.parts))


def _raise_failure(job: Job[Any], future: Future[Any], part: Any) -> None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise TransientError(
            f"{job.desc}: a worker process was killed, most often for want of memory. Finished parts are kept: "
            "run again with fewer processes (WEAK2MASK_WORKERS=1)."
        ) from error
    if error is not None:
        job.blame(error, part)
        raise error


def _start_worker(task: bytes) -> None:
    _Task.pickled = task
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, and only the parent says so
    threading.Thread(target=_exit_with_parent, daemon=True).start()


class _Task:
    """What this process does to every part. It arrives once: a store's header is large when its images are many."""

    pickled: ClassVar[bytes]

    @staticmethod
    @cache
    def opened() -> Any:
        return ForkingPickler.loads(_Task.pickled)


def _do(part: Any) -> Any:
    """Opens the task here and not when the process starts, so that a failure is the part's."""
    return _Task.opened()(part)


def _exit_with_parent() -> None:
    """A pool's worker outlives a parent that was killed; this one does not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
