"""How much runs at once: stages, and among them those that compute on the device."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Semaphore

from models.errors import ConfigurationError, TransientError
from pipeline.compute import runtime
from pipeline.compute.machine import named_gpus

MACHINE: dict[str, str] = {}
"""The environment of a stage that has the whole machine to compute on."""


class Slots:
    """Places for stages: ``jobs`` at once, and as many device stages (``meta: {gpu: 1}``) as there are devices.

    Without a GPU there is one device, the cores: two trainings on the same cores slow each other many-fold.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """
        Args:
            jobs: default: the cores (``WEAK2MASK_WORKERS``).

        Raises:
            ConfigurationError: ``jobs`` is less than 1.
        """
        if jobs is not None and jobs < 1:
            raise ConfigurationError(f"jobs: expected 1 or more stages at once, found {jobs}.")
        self.jobs = jobs or max(1, runtime.workers())
        devices = device_environments()
        self.devices = len(devices)
        self._jobs = Semaphore(self.jobs)
        self._devices: SimpleQueue[dict[str, str]] = SimpleQueue()
        for device in devices:
            self._devices.put(device)
        self.closed = False

    @contextmanager
    def take(self, gpu: bool) -> Iterator[dict[str, str]]:
        """Wait for a place; gives what to add to the stage's environment.

        Raises:
            TransientError: the slots were closed meanwhile.
        """
        device = self._take_device() if gpu else MACHINE
        try:
            while not self._jobs.acquire(timeout=1):
                self.check()
            try:
                self.check()
                yield device
            finally:
                self._jobs.release()
        finally:
            if gpu:
                self._devices.put(device)

    def close(self) -> None:
        """Nobody gets a place any more."""
        self.closed = True

    def _take_device(self) -> dict[str, str]:
        while True:
            self.check()
            try:
                return self._devices.get(timeout=1)
            except Empty:
                continue

    def check(self) -> None:
        """Raises TransientError when the slots were closed."""
        if self.closed:
            raise TransientError("not started: the flow run is ending")


def device_environments() -> list[dict[str, str]]:
    """What to add to the environment of each of the device stages that may run at once: which GPUs it sees.

    One that sees them all where ``WEAK2MASK_DEVICE`` names the device, and where there is no GPU or one.
    """
    gpus = [] if os.environ.get("WEAK2MASK_DEVICE", "").strip() else _visible_gpus()
    each = runtime.devices()
    shares = [gpus[start : start + each] for start in range(0, len(gpus) - each + 1, each)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares] if len(shares) > 1 else [MACHINE]


def _visible_gpus() -> list[str]:
    """Names of the GPUs for CUDA_VISIBLE_DEVICES, found without importing torch."""
    if (named := named_gpus()) is not None:
        return named
    if not shutil.which("nvidia-smi"):
        return []
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(index) for index, line in enumerate(line for line in done.stdout.splitlines() if line[:4] == "GPU ")]
