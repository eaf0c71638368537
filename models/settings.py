"""How to train: the settings that ``check`` validates without importing torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from models.errors import ConfigurationError
from models.options import Count, NonNegative, Positive, PositiveCount, ShareAboveZero, ShareBelowOne, require


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to minimise a method's losses. Exactly one of ``epochs`` and ``steps`` says for how long.

    Attributes:
        epochs: passes over the data; 0 where ``steps`` says how long.
        steps: optimiser steps; 0 where ``epochs`` says how long.
        optimizer: "sgd" (with ``momentum``) or "adamw".
        lr: base rate; a parameter group multiplies it.
        momentum: of "sgd".
        weight_decay: of the weights; biases do not decay.
        schedule: of the rate: "poly" (``(1 - step/steps)^power``), "cosine", "constant", or "step" (times ``decay``
            after every ``decay_epochs`` passes over the data), after ``warmup_steps`` of linear rise.
        power: of the schedule "poly".
        decay: factor of the schedule "step".
        decay_epochs: passes over the data between two drops of the schedule "step".
        warmup_steps: optimiser steps in which the rate rises from 1/warmup_steps of its value to all of it.
        accumulate: parts in which an optimiser step's batch goes through the network. The gradient is that of the
            whole batch, except for batch statistics and for losses that divide by a count of pixels of their part.
        clip_norm: largest norm of the gradient, 0 for no limit.
        ema: decay of the average of the weights that becomes the result, 0 for the last weights.
        channels_last: keep weights and activations with the channels last in memory, which some devices prefer.
        log_every: optimiser steps averaged in a row of the history.
        keep_features: keep in ``.scratch/features`` what a frozen backbone says of each view (float16), so that later
            epochs, and other trainings on the same encoder, read it (by the caller). It needs ``model.frozen`` and
            ``loader.views``.
        save_every_seconds: how often the state for a resume is saved (read by the caller).
    """

    built_by_check: ClassVar[bool] = True

    epochs: Count = 0
    steps: Count = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: Positive = 0.01
    momentum: ShareBelowOne = 0.9
    weight_decay: NonNegative = 5e-4
    schedule: Literal["poly", "cosine", "constant", "step"] = "poly"
    power: NonNegative = 0.9
    decay: ShareAboveZero = 0.1
    decay_epochs: Count = 0
    warmup_steps: Count = 0
    accumulate: PositiveCount = 1
    clip_norm: NonNegative = 0.0
    ema: ShareBelowOne = 0.0
    channels_last: bool = False
    log_every: PositiveCount = 20
    keep_features: bool = False
    save_every_seconds: NonNegative = 30.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and settings that exclude each other (ConfigurationError)."""
        require("settings", TrainSettings, asdict(self))
        if (self.epochs > 0) == (self.steps > 0):
            raise ConfigurationError(
                f"settings: expected either epochs or steps above 0, found epochs {self.epochs}, steps {self.steps}."
            )
        if (self.schedule == "step") != (self.decay_epochs > 0):
            raise ConfigurationError(
                "settings: schedule 'step' and decay_epochs above 0 belong together, found schedule "
                f"'{self.schedule}' and decay_epochs {self.decay_epochs}."
            )

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps of the whole training.

        Raises:
            ConfigurationError: they end before the warm-up does.
        """
        total = self.steps or self.epochs * steps_per_epoch
        if self.warmup_steps > total:
            counted = "" if self.steps else f" ({self.epochs} epochs of {steps_per_epoch})"
            raise ConfigurationError(
                f"settings.warmup_steps: expected at most the {total} steps of the training{counted}, found "
                f"{self.warmup_steps}. Remedy: a shorter warm-up, about a tenth, or a longer training."
            )
        return total
