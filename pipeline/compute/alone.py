"""One process at a time where two would write the same files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import TransientError

PATIENCE = 15.0
"""Seconds to wait for another process to let go: the data loader's processes outlive a killed training by a few."""
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")
"""Environment variables in which torchrun and Fabric number the processes of one training."""


def first_of_group() -> bool:
    """Whether this process stands alone, or is the first of those that train together."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


@contextmanager
def alone(lock: Path, what: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold ``lock`` for as long as the block lasts; it is free as soon as its process has ended, however that came.

    Args:
        lock: a file that may be made, in a folder that may be made.
        what: what is being done, to begin a message with: ``train@cam``.
        patience: seconds to wait for whoever holds it.

    Raises:
        TransientError: another process still holds it.
    """
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    holder = lock.with_name(f"{lock.name}.pid")
    held = FileLock(lock, timeout=patience)
    try:
        held.acquire()
    except Timeout:
        pid = holder.read_text(encoding="utf-8") if holder.is_file() else "?"
        raise TransientError(
            f"{what}: expected to be alone with it, found process {pid} at it. Wait until that has ended, "
            f"or end it (kill {pid}; what it has finished is kept), then run the same command again."
        ) from None
    try:
        with suppress(OSError):  # only the message of another process wants it
            holder.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        held.release()


@contextmanager
def one_by_one(folders: Iterable[Path]) -> Iterator[None]:
    """Wait until no other process is in such a block for one of these folders, which may be made. Leaves no file.

    For blocks of milliseconds. Where a file system has no locks, nobody waits.
    """
    import fcntl

    descriptors = []
    try:
        for folder in sorted({folder.resolve() for folder in folders}):  # in one order, so that none waits in a circle
            folder.mkdir(parents=True, exist_ok=True)
            descriptors.append(os.open(folder, os.O_RDONLY))
            with suppress(OSError):
                fcntl.flock(descriptors[-1], fcntl.LOCK_EX)
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
