"""How small a dry run is, and what that makes of a training's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from models.errors import ConfigurationError, closest
from models.methods import ADD_ONS, METHODS
from models.options import StartEpoch
from models.settings import TrainSettings
from pipeline.book.entries import EvaluateBoxesEntry, ExportCamsEntry, PredictMasksEntry, PropagateCamsEntry, TrainEntry
from pipeline.book.signatures import options_of_type
from pipeline.loading.loader_options import LoaderOptions, fitting

PRECISIONS = get_args(TrainEntry.model_fields["precision"].annotation)

ARITHMETIC = {"32-true": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}
"""What a network alone computes in, for a training's precision."""

UseT = TypeVar("UseT", ExportCamsEntry, PropagateCamsEntry, PredictMasksEntry, EvaluateBoxesEntry)

SMALL_RATE = 1e-15
"""Random weights diverge at the rates of pretrained ones, and maps that are not finite stop a chain."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a dry run; None leaves the book's value.

    Attributes:
        max_steps: optimiser steps of a training.
        images: of each split, the first ones.
        batch: of a training's optimiser step.
        precision: of trainings, and of networks that export, propagate or predict.
    """

    max_steps: int | None = None
    images: int | None = None
    batch: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        named = {"--max-steps": self.max_steps, "--limit": self.images, "--max-batch": self.batch}
        for option, value in named.items():
            if value is not None and value < 1:
                raise ConfigurationError(f"{option}: expected a whole number above 0, found {value}.")
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ConfigurationError(f"--precision: unknown '{self.precision}'.{closest(self.precision, PRECISIONS)}")

    def training(self, entry: TrainEntry) -> TrainEntry:
        """The same training within the limits; with few steps, losses that begin late count from the first step."""
        loader, settings = self._batches(entry.loader, entry.settings)
        update: dict[str, Any] = {"loader": loader, "settings": settings}
        if self.precision is not None:
            update["precision"] = self.precision
        if self.max_steps is None:
            return entry.model_copy(update=update)
        add_ons = {name: _at_once(ADD_ONS[name], options) for name, options in entry.add_ons.items()}
        update |= {"model": _at_once(METHODS[entry.method], entry.model), "add_ons": add_ons}
        return entry.model_copy(update=update | {"settings": _short(settings, self.max_steps)})

    def use(self, entry: UseT) -> UseT:
        """The same use of a network, in the dry run's precision."""
        if self.precision is None:
            return entry
        precision = {"precision": ARITHMETIC[self.precision]}
        update = precision if isinstance(entry, PropagateCamsEntry) else {"options": {**entry.options, **precision}}
        return entry.model_copy(update=update)

    def _batches(self, loader: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Batches that the images fill. Accumulated parts keep their size where they can, so that memory is real."""
        given, accumulate = dict(loader), settings.get("accumulate", TrainSettings(steps=1).accumulate)
        whole = given.get("batch_size", LoaderOptions().batch_size)
        images = min(whole, self.images or whole, self.batch or whole)
        batch, parts = fitting(whole, accumulate, images)
        return given | {"batch_size": batch}, dict(settings) | ({"accumulate": parts} if accumulate > 1 else {})


def _short(settings: Mapping[str, Any], most: int) -> dict[str, Any]:
    steps = min(settings.get("steps") or most, most)
    kept = {key: value for key, value in settings.items() if key != "epochs"} | {"steps": steps, "log_every": 1}
    kept["lr"] = SMALL_RATE
    if "warmup_steps" in kept:
        kept["warmup_steps"] = min(kept["warmup_steps"], steps - 1)
    return kept


def _at_once(target: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a component whose losses begin at epoch 0: a few steps would never reach a later one."""
    return {**options, **dict.fromkeys(options_of_type(target, StartEpoch), 0)}
