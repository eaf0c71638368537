"""Ways to a recorder: one of the stage's own, or one that all stages of a run share.

A recorder pays for MLflow's import, about five seconds of a core; ``shared_recorder`` around a whole run pays once.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

SHARED = "WEAK2MASK_RECORDER"
"""Environment variable with the socket of the shared recorder."""

PATIENCE = 120.0
"""Seconds that a finished stage waits until its run is recorded."""


class Channel(Protocol):
    """A line to a recorder."""

    def send(self, line: str) -> None:
        """Write one line. Raises OSError or ValueError when nobody reads any more."""

    def close(self) -> None:
        """Wait until everything is recorded. Raises TimeoutError after :data:`PATIENCE`."""


class OwnRecorder:
    """A child process that records this stage only."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "pipeline.tracking.recorder"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, encoding="utf-8")

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        try:
            self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None


class SharedRecorder:
    """The recorder of the run that this stage is part of. Raises OSError when it is not there."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)

    def send(self, line: str) -> None:
        self._socket.sendall((line + "\n").encode())

    def close(self) -> None:
        with self._socket as connection, suppress(ConnectionError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE)
            connection.recv(1)  # the recorder closes its side when it has recorded all


def open_channel() -> Channel:
    """The shared recorder where there is one, else one of its own."""
    if path := os.environ.get(SHARED):
        with suppress(OSError):
            return SharedRecorder(path)
    return OwnRecorder()


@contextmanager
def shared_recorder() -> Iterator[None]:
    """Every stage that starts inside, in any process, tells one recorder; it ends with the last of them."""
    with TemporaryDirectory(prefix="weak2mask-") as folder:
        path = Path(folder) / "socket"
        command = [sys.executable, "-m", "pipeline.tracking.recorder", str(path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # it listens now
        os.environ[SHARED] = str(path)
        try:
            yield
        finally:
            del os.environ[SHARED]
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=PATIENCE)
