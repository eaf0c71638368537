"""The state of an unfinished training: saved beside the artefacts, found again after a kill, gone after success."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

from models.errors import TrainingError
from pipeline.storage.whole import whole_file

StateDict = dict[str, Any]
FILE = "last.pt"
SEAL = "sha256"
"""Digest at the end of the file."""
PATIENCE = 15.0
"""Seconds to wait for another process to let go: the loaders of a killed training outlive it by a few."""


class Resume:
    """Keeps the state of one training in ``folder``.

    The folder's name must be a fingerprint of all that decides the result (settings, inputs, code), so that a state
    is never taken over by another training. Only the first process of several writes; all of them read.

    Args:
        folder: for instance ``.scratch/checkpoints/<fingerprint>``; never one of DVC's outputs.
        every_seconds: least time between two saves; 0 saves after every step.
        writes: whether this process is the one that saves.
    """

    def __init__(self, folder: Path, every_seconds: float = 30.0, writes: bool = True) -> None:
        self.path = folder / FILE
        self.every_seconds = every_seconds
        self.writes = writes
        self.signalled: int | None = None
        self._saved = time.monotonic()

    def claim(self, patience: float = PATIENCE) -> None:
        """Keep other processes away from this training until this one ends, however it does.

        Raises:
            TrainingError: another process is at it; two would write the same files.
        """
        if not self.writes:
            return
        from filelock import FileLock, Timeout

        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "lock", timeout=patience)
        try:
            self._lock.acquire()
        except Timeout:
            pid = (folder / "pid").read_text() if (folder / "pid").is_file() else "?"
            raise TrainingError(
                f"{folder}: expected to be alone with this training, found process {pid} at it. "
                f"Remedy: end it (kill {pid}; its state is kept) or wait until it is done, then run again."
            ) from None
        (folder / "pid").write_text(str(os.getpid()))

    def load(self) -> StateDict | None:
        """The last state, or None: there is none, or it cannot be read (a warning says so)."""
        if not self.path.is_file():
            return None
        import torch

        try:
            state = torch.load(BytesIO(_unsealed(self.path.read_bytes())), map_location="cpu", weights_only=True)
            return state if isinstance(state["done"], int) else None
        except Exception as error:  # a torn file can fail anywhere in the unpickler
            reason = str(error).partition("\n")[0]
            warnings.warn(f"{self.path} cannot be read ({reason}); the training starts anew.", stacklevel=2)
            return None

    def on_step(self, done: int, snapshot: Callable[[], StateDict]) -> None:
        """Save when it is time to, or when the process was told to stop.

        Raises:
            SystemExit: SIGTERM has come; the state is saved.
            KeyboardInterrupt: SIGINT has come; the state is saved.
        """
        if self.signalled is None and time.monotonic() - self._saved < self.every_seconds:
            return
        if self.writes:
            self._save(snapshot())
        self._saved = time.monotonic()
        if self.signalled == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signalled is not None:
            raise SystemExit(128 + self.signalled)

    def finish(self) -> None:
        """Forget the state: the result is safe."""
        if self.writes:
            shutil.rmtree(self.path.parent, ignore_errors=True)

    @contextmanager
    def stopping_at_a_step(self) -> Iterator[None]:
        """Let SIGTERM and SIGINT wait for the end of the step under way; a second one does not wait."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may handle signals
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.signalled is not None:
            raise SystemExit(128 + number)
        self.signalled = number

    def _save(self, state: StateDict) -> None:
        import torch

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.path) as scratch, scratch.open("w+b") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # torch says "unexpected pos" of what the disk did not take
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
            file.seek(0)
            digest = hashlib.file_digest(file, SEAL).digest()
            file.seek(0, os.SEEK_END)
            file.write(digest)


def _unsealed(data: bytes) -> bytes:
    """What was saved, without its digest. Raises ValueError where they disagree: torch.load looks at no checksum."""
    size = hashlib.new(SEAL).digest_size
    if hashlib.new(SEAL, data[:-size]).digest() != data[-size:]:
        raise ValueError("its bytes are not those that were written")
    return data[:-size]
