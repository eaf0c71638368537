"""Chunks on the workers of a Dask cluster: the only file that imports distributed.

A lost worker's chunk is done again by another one; a worker that joins late helps. Workers share the project's folder
with this process, at the same path.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from models.errors import TransientError, Weak2MaskError
from pipeline.compute.engines import setting, worker
from pipeline.compute.engines.job import Job, Result
from pipeline.compute.engines.worker import ChunkOutcome, Ticket, run_chunk, ticket
from pipeline.compute.servers import require_free

CONNECT = 6.0
"""Seconds until a scheduler that does not answer, or has no worker, is an error."""

LOST = 30.0
"""Seconds between two looks whether there are workers left, and for a cluster without any to start one."""

KEPT = "Finished parts are kept: run again."


def run(job: Job[Result]) -> list[Result]:
    """Run the job on the cluster that ``WEAK2MASK_DASK`` names.

    Raises:
        ConfigurationError: the address does not hold.
        Weak2MaskError: no scheduler, no worker, a worker that cannot take part, or a chunk that kills its workers.
        TransientError: the scheduler has gone.
    """
    address = setting.scheduler()
    with ticket(job.task) as shown, _connected(address) as client:
        crew = _Crew(client, address, shown)
        crew.require()
        results = dict(job.bar(_results(crew, job), lambda done: done[0]))
    return [results[chunk] for chunk in job.chunks]


class _Crew:
    """The workers, as one job sees them."""

    def __init__(self, client: Any, address: str, ticket: Ticket) -> None:
        self.client, self.address, self.ticket = client, address, ticket

    def require(self, patience: float = CONNECT) -> None:
        """Raise Weak2MaskError unless there is a worker, and each one can take part."""
        try:
            self.client.wait_for_workers(1, timeout=patience)
        except TimeoutError:
            raise Weak2MaskError(
                f"The Dask scheduler at {self.address} has no worker (waited {patience:.0f} s). Start one from the "
                f"project's root: dask worker {self.address} --nthreads 1 --nworkers N"
            ) from None
        refusals = self.client.run(Ticket.refusal, self.ticket, on_error="return")
        for name, reason in (refusals | self._crowded()).items():
            if isinstance(reason, Exception) and not isinstance(reason, OSError):  # an OSError: it has just left
                reason = f"it cannot import this project ({reason}). Start it from the project's root."
            if isinstance(reason, str):
                raise Weak2MaskError(f"Worker {name} of {self.address} cannot take part: {reason}")

    def _crowded(self) -> dict[str, str]:
        return {
            name: f"it has {count} threads, whose sums would depend on each other. Start it with --nthreads 1."
            for name, count in self.client.nthreads().items()
            if count > 1
        }

    def submit(self, job: Job[Any], chunk: int) -> Any:
        """A future of the chunk."""
        return self.client.submit(run_chunk, self.ticket, chunk, pure=False)

    def free(self, busy: int) -> int:
        """How many chunks more can start. A worker holds one: when it dies, no other is suspected."""
        return max(1, len(self.client.nthreads())) - busy

    def wait(self, futures: list[Any]) -> list[Any]:
        """Those that have ended, at least one.

        Raises:
            Weak2MaskError: all workers have gone.
        """
        from distributed import wait

        while True:
            try:
                return list(wait(futures, timeout=LOST, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                if not self.client.nthreads():
                    self.require(LOST)


def _results(crew: _Crew, job: Job[Result]) -> Iterator[tuple[int, Result]]:
    """(chunk, result) as they come; the first failure when the chunks under way have ended."""
    waiting, running, failure = deque(job.chunks), dict[Any, int](), None
    while running or (waiting and failure is None):
        with _scheduler_reachable(crew.address):
            while waiting and failure is None and crew.free(len(running)) > 0:
                chunk = waiting.popleft()
                running[crew.submit(job, chunk)] = chunk
            ended = crew.wait(list(running))
        for future in ended:
            chunk = running.pop(future)
            outcome = _outcome(crew, job, future, chunk)
            future.release()  # or it would be done again when the worker that holds the result is lost
            if outcome.error is None:
                yield chunk, outcome.result
            else:
                job.blame(outcome.error, chunk)
                failure = failure or outcome.error
    if failure is not None:
        raise failure


def _outcome(crew: _Crew, job: Job[Any], future: Any, chunk: int) -> ChunkOutcome:
    from distributed import KilledWorker

    with _scheduler_reachable(crew.address):
        error = future.exception()
        if error is None:
            outcome: ChunkOutcome = future.result()
            return outcome
    if isinstance(error, ImportError):
        crew.require()  # a worker that joined late may be to blame
    if isinstance(error, KilledWorker):
        return ChunkOutcome(error=Weak2MaskError(_killing(job, error, chunk)))
    return ChunkOutcome(error=error)


def _killing(job: Job[Any], error: Any, chunk: int) -> str:
    return (
        f"{job.desc}: {job.name(chunk)} was tried on {error.allowed_failures + 1} workers, and each of them died, most "
        f"often for want of memory; the last was {error.last_worker.address}. {KEPT[:-1]} with fewer workers a machine."
    )


@contextmanager
def _scheduler_reachable(address: str) -> Iterator[None]:
    from distributed import CancelledError

    try:
        yield
    except (CancelledError, OSError) as error:
        raise TransientError(f"The Dask scheduler at {address} has gone. {KEPT}") from error


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    _quiet()
    try:
        client = Client(address, timeout=CONNECT, set_as_default=False, name="weak2mask")
    except Exception as error:  # whatever Dask makes of a server that is no scheduler: a web server's is MemoryError
        raise Weak2MaskError(f"No Dask scheduler answers at {address} ({error}). {setting.START}") from error
    with client, client.as_current():
        yield client


def _quiet() -> None:
    """What goes wrong is said once, by this project."""
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def served(workers: int, port: int) -> Iterator[str]:
    """A scheduler on 127.0.0.1 and worker processes, as long as the block lasts; gives the scheduler's address.

    Raises:
        ConfigurationError: the port is taken, or Dask is not installed.
        TransientError: the machine is too busy to start a scheduler.
    """
    setting.require_dask()
    require_free("127.0.0.1", port)
    with _local_cluster(workers, port) as cluster:
        yield cluster.scheduler_address


def _local_cluster(workers: int, port: int) -> Any:
    """Dask gives its event loop ten seconds to begin, and a busy machine may need more: one more try."""
    from distributed import LocalCluster

    for _ in range(2):
        try:
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                scheduler_port=port,
                dashboard_address="127.0.0.1:0",
                memory_limit=0,  # or Dask would stop a worker where a pool of processes goes on
                silence_logs=logging.ERROR,
                preload=[worker.__name__],
            )
        except AssertionError:
            continue
    raise TransientError("Dask's scheduler did not start within ten seconds, twice. Try again when less is running.")
