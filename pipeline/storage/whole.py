"""Files and folders that are whole or not there: written beside their place, then moved into it.

They are on the disk before they are moved, and the move is too when it returns: a power failure leaves the old or the
new, never a part. This holds for what the project writes; what DVC copies into its cache is DVC's.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FEW = 20
"""Files that are flushed one by one, some milliseconds each; more of them by one call for the whole machine."""


@contextmanager
def whole_file(path: Path, *, shared: bool = False, durable: bool = True) -> Iterator[Path]:
    """A path beside ``path`` to write a file to; it takes the place of ``path`` at the end. What fails leaves no trace.

    The scratch file ends like ``path`` does, for libraries that go by a file's ending.

    Args:
        path: the file; its folder must be there.
        shared: several processes may write the same file at once. Each then has a scratch file of its own, and the
            last one stays. Without it, what a killed process left behind is written over by the next one.
        durable: whether it outlives a power failure; a few milliseconds. Not for what is cheap to make again.
    """
    owner = f"{os.getpid()}." if shared else ""
    scratch = path.with_name(f".partial.{owner}{path.name}")
    try:
        yield scratch
        if durable:
            flush(scratch)
        scratch.replace(path)
        if durable:
            flush(path.parent)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path`` to write into; it takes the place of ``path`` at the end, and of what is there.

    What fails leaves no trace, and what was there before.
    """
    with scratch_at(path.with_name(f".partial.{path.name}")) as scratch:
        scratch.mkdir(parents=True)
        yield scratch
        swap_in(scratch, path)


@contextmanager
def scratch_at(path: Path) -> Iterator[Path]:
    """``path`` with nothing there, neither before nor after."""
    remove(path)
    try:
        yield path
    finally:
        remove(path)


def swap_in(scratch: Path, path: Path) -> None:
    """Move ``scratch`` to ``path``, where an older file or folder may lie: it goes when the new one is in its place."""
    flush_all(scratch)
    old = path.with_name(f".old.{path.name}")
    remove(old)
    if path.exists() or path.is_symlink():
        path.rename(old)
    try:
        scratch.rename(path)
    except OSError:
        if old.exists() or old.is_symlink():
            old.rename(path)
        raise
    flush(path.parent)
    remove(old)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk, where the file system can say so.

    Raises:
        OSError: the disk did not take what had been written.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def flush_all(path: Path) -> None:
    """:func:`flush` of a folder and all that is below it; of many files by one call for all of the machine."""
    below = [each for each in path.rglob("*") if not each.is_symlink()] if path.is_dir() else []
    if len(below) > FEW:
        os.sync()
        return
    for each in (*below, path):
        flush(each)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
