"""Training steps of published recipes at their crops and batches, through the project's own loop."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.machine import peak
from benchmarks.gpu.parts import Given
from benchmarks.gpu.timing import peak_megabytes, set_tf32, wait
from benchmarks.made import made_batch
from models.method import Method
from models.settings import TrainSettings
from models.structures import Batch, StepContext
from pipeline.compute import runtime
from pipeline.storage.checkpoints import build_method
from stages.train import train


@dataclass(frozen=True)
class Way:
    """How a recipe is trained; without determinism GPUs enlarge maps by another program of torch."""

    arithmetic: str
    channels_last: bool = False
    deterministic: bool = True
    compiled: bool = False


BOOK = "recipes/voc12/params.yaml"
CLASSES = 20
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "SEAM + HFPL": ("seam_hfpl", {}),
    "DeepLab v2": ("full_v2", {}),
    "RTC": ("rtc", {"segmentation_start": 0.0}),
    "RCM + MAM": ("rcm_mam", {}),
    "SPML": ("spml_tags", {}),
}
"""Title -> entry of the book, and options with which all parts count from the first step on."""
WAYS = [
    Way("float32"),
    Way("bfloat16", channels_last=True),
    Way("float32", deterministic=False),
    Way("tf32", channels_last=True),
    Way("bfloat16", channels_last=True, deterministic=False),
    Way("tf32"),
    Way("bfloat16"),
    Way("float32", channels_last=True),
]
"""The most telling first."""
COMPILED = [Way("bfloat16", channels_last=True, compiled=True), Way("tf32", channels_last=True, compiled=True)]
PRECISIONS = {"float32": "32-true", "tf32": "32-true", "bfloat16": "bf16-mixed"}
ROW = 15.0
"""Seconds without which no row is begun."""
REGION = 28
"""Side in pixels of a region of the made images."""


@dataclass(frozen=True)
class Same:
    """A loader of one batch, which comes from the host anew for each step."""

    batch: Batch
    accumulate: int
    steps_per_epoch: int = 10**6

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        for _ in range((stop - start) * self.accumulate):
            yield self.batch


def run(given: Given) -> None:
    """A row for each recipe and way, the ways in order so that each recipe has its first before any has its second."""
    _rows(given, WAYS)


def compiled(given: Given) -> None:
    """The same with the network of each recipe compiled; losses are not."""
    _rows(given, COMPILED)


def _rows(given: Given, ways: list[Way]) -> None:
    peaks = {arithmetic: peak(given, arithmetic) for arithmetic in dict.fromkeys(way.arithmetic for way in ways)}
    work: dict[str, float] = {}
    for way in ways:
        for title in RECIPES:
            if not given.has(ROW):
                given.keep({"left out from here on": {"recipe": title, **asdict(way)}})
                return
            row: dict[str, Any] = {"recipe": title, **asdict(way)}
            try:
                if title not in work:
                    work[title] = _operations(given, title)
                row |= _measured(given, title, way, work[title], peaks[way.arithmetic])
            except Exception as error:  # the next way may do
                row["error"] = f"{type(error).__name__}: {error}"[:500]
            given.keep(row)
            if given.device == "cuda":
                torch.cuda.empty_cache()


def _built(given: Given, title: str) -> tuple[Method, Batch, TrainSettings]:
    """A copy of the recipe's page with random weights, a made batch, settings for a few steps that change little."""
    method, batch, settings = _once(given, title)
    return deepcopy(method), batch, settings


@cache
def _once(given: Given, title: str) -> tuple[Method, Batch, TrainSettings]:
    name, options = RECIPES[title]
    with open(BOOK, encoding="utf-8") as file:
        entry = yaml.safe_load(file)["train"][name]
    model, loader = entry["model"] | options, entry["loader"]
    if given.tiny:
        model, loader = model | {"backbone": "resnet18", "width": 0.25}, {"batch_size": 2, "crop": 64}
        model.pop("head_width", None)
    torch.manual_seed(0)
    method = build_method(entry["method"], CLASSES, model, add_ons=entry.get("add_ons", {}))
    accumulate = entry["settings"].get("accumulate", 1)
    batch = made_batch(max(1, loader["batch_size"] // accumulate), loader["crop"], CLASSES)
    rows = torch.arange(loader["crop"]) // REGION
    regions = (rows[:, None] * (1 + int(rows[-1])) + rows).expand_as(batch.seeds).contiguous()
    steps = 2 if given.tiny else 6
    kept = {
        key: entry["settings"][key] for key in ("optimizer", "momentum", "weight_decay") if key in entry["settings"]
    }
    settings = TrainSettings(steps=steps, lr=1e-7, accumulate=accumulate, log_every=10**6, **kept)
    return method, replace(batch, image=batch.image.contiguous(), regions=regions), settings


def _operations(given: Given, title: str) -> float:
    """Of an optimiser step: products of matrices and convolutions, losses and backward pass included."""
    method, batch, settings = _built(given, title)
    method, batch = method.to(given.device).train(), batch.to(given.device)
    context = StepContext(0, 10, 5, torch.Generator(given.device).manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        losses = method.losses(method(batch), batch, context)
        torch.stack(list(losses.values())).sum().backward()
    return float(counter.get_total_flops()) * settings.accumulate


def _measured(given: Given, title: str, way: Way, work: float, rate: float) -> dict[str, Any]:
    """Seconds of a step after the first ones, memory, and the share of the measured peak of this arithmetic."""
    set_tf32(way.arithmetic == "tf32")
    method, batch, settings = _built(given, title)
    if way.compiled:
        for module in _backbones(method):
            module.compile()
    fabric = runtime.fabric(PRECISIONS[way.arithmetic])  # deterministic
    torch.use_deterministic_algorithms(way.deterministic, warn_only=True)
    times: list[float] = []

    def on_step(done: int, snapshot: object) -> None:
        wait(given.device)
        times.append(time.perf_counter())

    peak_megabytes(given.device)
    source = Same(batch, settings.accumulate)
    train(method, source, fabric, replace(settings, channels_last=way.channels_last), seed=0, on_step=on_step)
    gaps = sorted(after - before for before, after in pairwise(times))
    seconds = gaps[len(gaps) // 2]
    return {
        "seconds a step": round(seconds, 4),
        "images a second": round(len(batch.image) * settings.accumulate / seconds, 2),
        "TFLOP a step": round(work / 1e12, 3),
        "share of the peak": round(work / seconds / rate, 3),
        "peak MB": peak_megabytes(given.device),
    }


def _backbones(method: Method) -> Iterator[torch.nn.Module]:
    for name, module in method.named_modules():
        if name.rpartition(".")[2] == "backbone":
            yield module
