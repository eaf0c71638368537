"""Files from outside that can be read to their end: no pipes, which nobody may write to, and no devices."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

NO_FILE = "a pipe, a socket or a device in place of a file"


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, as ``path.open("rb")`` does; links are followed.

    Raises:
        OSError: as ever; also for what is no regular file, on which reading may wait or go on for ever.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, NO_FILE, str(path))
    return file


def read_regular(path: Path) -> bytes:
    """All bytes of a file. Raises OSError as :func:`open_regular`."""
    with open_regular(path) as file:
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    """A pipe is opened at once, whether or not somebody writes to it; for files the flag changes nothing."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
