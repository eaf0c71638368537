"""How to train: the settings that ``check`` validates without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to minimise a method's losses. Exactly one of ``epochs`` and ``steps`` says for how long.

    Attributes:
        epochs: passes over the data. steps: optimiser steps.
        optimizer: "sgd" (with ``momentum``) or "adamw". lr: base rate; a parameter group multiplies it.
        schedule: "poly" (``(1 - step/steps)^power``), "cosine", "constant", or "step" (times ``decay`` after every
            ``decay_epochs`` passes over the data), after ``warmup_steps`` of linear rise.
        accumulate: parts in which an optimiser step's batch goes through the network. The gradient is that of the
            whole batch, except for batch statistics and for losses that divide by a count of pixels of their part.
        clip_norm: largest norm of the gradient, 0 for no limit.
        ema: decay of the average of the weights that becomes the result, 0 for the last weights.
        log_every: optimiser steps averaged in a row of the history.
        save_every_seconds: how often the state for a resume is saved (read by the caller).
    """

    epochs: int = 0
    steps: int = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Literal["poly", "cosine", "constant", "step"] = "poly"
    power: float = 0.9
    decay: float = 0.1
    decay_epochs: int = 0
    warmup_steps: int = 0
    accumulate: int = 1
    clip_norm: float = 0.0
    ema: float = 0.0
    channels_last: bool = False
    log_every: int = 20
    save_every_seconds: float = 30.0

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.steps > 0):
            raise ConfigurationError(
                f"settings: expected either epochs or steps above 0, found epochs {self.epochs}, steps {self.steps}."
            )
        if (self.schedule == "step") != (self.decay_epochs > 0):
            raise ConfigurationError(
                "settings: schedule 'step' and decay_epochs above 0 belong together, found schedule "
                f"'{self.schedule}' and decay_epochs {self.decay_epochs}."
            )
        ranges = {
            "accumulate": self.accumulate >= 1,
            "log_every": self.log_every >= 1,
            "lr": self.lr > 0,
            "weight_decay": self.weight_decay >= 0,
            "warmup_steps": self.warmup_steps >= 0,
            "clip_norm": self.clip_norm >= 0,
            "momentum": 0 <= self.momentum < 1,
            "power": self.power >= 0,
            "decay": 0 < self.decay <= 1,
            "save_every_seconds": self.save_every_seconds >= 0,
            "ema": 0 <= self.ema < 1,
        }
        wrong = [f"{name} {getattr(self, name)}" for name, holds in ranges.items() if not holds]
        if wrong:
            raise ConfigurationError(
                f"settings: out of range: {', '.join(wrong)}. Expected accumulate and log_every of at least 1, a "
                "positive lr, ema and momentum in [0,1), decay in (0,1], and nothing else below 0."
            )

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole training."""
        return self.steps or self.epochs * steps_per_epoch
