"""Optimisers over parameter groups, and learning-rate schedules as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch.optim import SGD, AdamW, Optimizer

from models.method import ParameterGroup

OptimizerName = Literal["sgd", "adamw"]
ScheduleName = Literal["poly", "cosine", "constant", "step"]


def build_optimizer(
    groups: Sequence[ParameterGroup],
    name: OptimizerName = "sgd",
    *,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    nesterov: bool = False,
    betas: tuple[float, float] = (0.9, 0.999),
) -> Optimizer:
    """An optimiser whose groups carry their own base rate: ``lr`` and ``weight_decay`` times the group's multipliers.

    Args:
        groups: of :meth:`Method.parameter_groups`; each keeps its name and ``base_lr`` in the optimiser's group.
        momentum, nesterov: SGD only. PSA, SEAM and IRN trained with momentum = weight decay (5e-4 or 1e-4, not 0.9),
            because PolyOptimizer hands the decay to SGD's momentum slot; say so here to reproduce them.
        betas: AdamW only.

    Raises:
        ValueError: another optimiser name, or nothing to optimise.
    """
    if not groups:
        raise ValueError("Nothing to optimise: every parameter is frozen.")
    settings: list[dict[str, Any]] = [
        {
            "params": group.parameters,
            "name": group.name,
            "lr": lr * group.lr,
            "base_lr": lr * group.lr,
            "weight_decay": weight_decay * group.weight_decay,
        }
        for group in groups
    ]
    if name == "sgd":
        return SGD(settings, lr=lr, momentum=momentum, nesterov=nesterov)
    if name == "adamw":
        return AdamW(settings, lr=lr, betas=betas)
    raise ValueError(f"Unknown optimizer '{name}'. Valid: adamw, sgd.")


def lr_factor(
    step: int,
    total_steps: int,
    schedule: ScheduleName = "poly",
    *,
    power: float = 0.9,
    warmup_steps: int = 0,
    decay: float = 0.1,
    decay_steps: int = 0,
) -> float:
    """What the base learning rate is multiplied with at ``step`` (from 0), in (0,1].

    Linear warm-up from 1/warmup_steps to 1, then the schedule over the remaining steps, t in [0,1):
    "poly" (1 - t)^power (Liu et al. 2015, ParseNet), "cosine" (1 + cos(pi t)) / 2, "constant" 1; "step" is
    decay^(step // decay_steps), counted from the first step, warm-up included.

    Raises:
        ValueError: another schedule, a step or warm-up outside the training, or "step" without ``decay_steps``.
    """
    if not 0 <= step < total_steps or not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"step {step} and warm-up {warmup_steps} must lie within {total_steps} steps.")
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    t = (step - warmup_steps) / (total_steps - warmup_steps)
    if schedule == "poly":
        return float((1.0 - t) ** power)
    if schedule == "cosine":
        return (1.0 + math.cos(math.pi * t)) / 2.0
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        if decay_steps < 1:
            raise ValueError(f"schedule 'step' needs decay_steps of 1 or more, found {decay_steps}.")
        return float(decay ** (step // decay_steps))
    raise ValueError(f"Unknown schedule '{schedule}'. Valid: constant, cosine, poly, step.")


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Give every group its base rate times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
