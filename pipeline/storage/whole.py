"""Files and folders that are whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A path beside ``path`` to write a file to; it takes the place of ``path`` at the end. What fails leaves no trace.

    The scratch file ends like ``path`` does, for libraries that go by a file's ending.

    Args:
        path: the file; its folder must be there.
        shared: several processes may write the same file at once. Each then has a scratch file of its own, and the
            last one stays. Without it, what a killed process left behind is written over by the next one.
    """
    owner = f"{os.getpid()}." if shared else ""
    scratch = path.with_name(f".partial.{owner}{path.name}")
    try:
        yield scratch
        scratch.replace(path)
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
    remove(old)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
