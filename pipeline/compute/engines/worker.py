"""The worker's side of a cluster: it may be another process on another machine that shares the project's folder."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from models.errors import Weak2MaskError
from pipeline.compute.engines.identity import IDENTITY, ROOMS, SOURCE
from pipeline.compute.scratch import SCRATCH


@dataclass(frozen=True)
class Ticket:
    """What a worker must have to take part in a job, and where the task lies.

    Attributes:
        root: absolute path of the project's root; the paths in books and stores are relative to it.
        task: file of the pickled task, in the root: who can read it shares the folder.
        identity: of the process that gave the job.
    """

    root: Path
    task: Path
    identity: dict[str, str]

    def refusal(self) -> str | None:
        """Why this process cannot take part, or None."""
        different = [name for name, version in IDENTITY.items() if self.identity.get(name) != version]
        packages = [f"{name} {IDENTITY[name]} there, {self.identity.get(name)} here" for name in different]
        if packages and different != [SOURCE]:
            return f"it runs {'; '.join(packages)}. Install the same versions (constraints.txt), then start it again."
        if different:
            return f"it started with other source code (in {ROOMS}). Start it again with the code that is here."
        if not (self.root / self.task).is_file():
            return f"it does not see the project's folder {self.root}. Mount that at the same path on its machine."
        return None


@dataclass(frozen=True)
class ChunkOutcome:
    """What became of a chunk: its result, or the error, which another try would not change.

    A worker returns errors that are written for the user, for Dask would shorten, wrap and log what it raises.
    """

    result: Any = None
    error: Exception | None = None


@contextmanager
def ticket(task: Callable[[int], Any]) -> Iterator[Ticket]:
    """A ticket for a job of the project whose root is the working directory; its file goes when the job ends."""
    file = SCRATCH / "tasks" / uuid4().hex
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(task))
    try:
        yield Ticket(Path.cwd(), file, IDENTITY)
    finally:
        file.unlink(missing_ok=True)


def dask_setup(_: object) -> None:
    """Dask calls it in each worker of our own cluster: Ctrl-C reaches them too, but the scheduler is to end them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_chunk(ticket: Ticket, chunk: int) -> ChunkOutcome:
    """Run one chunk of the job in the project's root. The worker may have joined late: it shows its ticket again."""
    if reason := ticket.refusal():
        return ChunkOutcome(error=Weak2MaskError(f"A worker cannot take part: {reason}"))
    try:
        with chdir(ticket.root):
            return ChunkOutcome(_task(ticket.root, ticket.task)(chunk))
    except Weak2MaskError as error:
        return ChunkOutcome(error=error)


@lru_cache(maxsize=1)
def _task(root: Path, file: Path) -> Callable[[int], Any]:
    """Read once a process: each job has a file of its own."""
    task: Callable[[int], Any] = pickle.loads(file.read_bytes())  # noqa: S301 (the project's own file, as its code is)
    return task
