"""The parts in the order of their worth, with the seconds that each may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Given:
    """What a part is asked: the device, whether sizes are tiny, where a row of results goes, and when it is stopped."""

    device: str
    tiny: bool
    keep: Callable[[dict[str, Any]], None]
    end: float

    def has(self, seconds: float) -> bool:
        """Whether so many seconds are left."""
        return time.monotonic() + seconds < self.end


@dataclass(frozen=True)
class Part:
    """A function ``module:name`` of ``benchmarks.gpu`` that is given a :class:`Given`."""

    title: str
    seconds: float
    place: str

    def run(self, given: Given) -> None:
        """Import the module and call the function."""
        module, _, name = self.place.partition(":")
        getattr(import_module(f"benchmarks.gpu.{module}"), name)(given)


PARTS = {
    "machine": Part("card, versions, measured peaks", 25, "machine:run"),
    "oracles": Part("oracles and published networks in float32", 80, "compared:oracles"),
    "steps": Part("training steps of published recipes: time, memory, share of the peak", 110, "steps:run"),
    "resume": Part("a training that is killed goes on", 45, "trained:resume"),
    "ddp": Part("a training of one process under torchrun, and with DDP", 45, "trained:ddp"),
    "models": Part("tests of models", 80, "compared:models"),
    "export": Part("CAM export, images a second", 35, "kernels:export"),
    "kernels": Part("walk, PAR, k-means, neighbours, beside the CPU", 30, "kernels:run"),
    "half": Part("oracles and networks that hold in TF32 and bfloat16", 60, "compared:half"),
    "compiled": Part("training steps with torch.compile", 90, "steps:compiled"),
    "chains": Part("voc_mini's main chain and RTC, seeds 0 to 4", 300, "chains:run"),
}
