"""The training loop of every method."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from models.ema import Ema
from models.errors import TrainingError
from models.method import Method, layers
from models.ops.batch_norm import synchronise_batch_norm
from models.optim import build_optimizer, lr_factor, set_lr
from models.settings import TrainSettings
from models.structures import Batch, Outputs, StepContext

TrainingState: TypeAlias = dict[str, Any]
"""All that a training needs to go on: tensors, numbers and strings in dicts and lists."""

HistoryRow: TypeAlias = dict[str, float]
"""A line of the history: step, epoch, lr, total and each loss part."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training leaves beside the weights in its method: the history and the number of optimiser steps."""

    history: list[HistoryRow]
    steps: int


class Source(Protocol):
    """Where batches come from: ``accumulate`` of them for every optimiser step, from any step onwards."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]: ...


class Runtime(Protocol):
    """What the loop asks of Lightning Fabric: devices, precision and the exchange of gradients."""

    @property
    def device(self) -> torch.device: ...
    @property
    def world_size(self) -> int: ...
    @property
    def global_rank(self) -> int: ...
    @property
    def strategy(self) -> Any: ...

    def setup_module(self, module: nn.Module) -> Any: ...
    def setup_optimizers(self, *optimizers: torch.optim.Optimizer) -> Any: ...
    def backward(self, tensor: Tensor) -> None: ...
    def no_backward_sync(self, module: Any, enabled: bool) -> AbstractContextManager[Any]: ...
    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool) -> Any: ...
    def all_reduce(self, data: Any, *, reduce_op: str) -> Any: ...


def train(
    method: Method,
    source: Source,
    fabric: Runtime,
    settings: TrainSettings,
    *,
    seed: int,
    state: TrainingState | None = None,
    on_row: Callable[[HistoryRow], None] = lambda row: None,
    on_step: Callable[[int, Callable[[], TrainingState]], None] = lambda done, snapshot: None,
) -> TrainResult:
    """Minimise the sum of ``method``'s losses; the result is the method itself, changed in place.

    Randomness is a function of (seed, step, process), so a training that goes on from a state gives, on a CPU, the
    same bytes as one that was never interrupted. With several processes the global batches are those of one process
    and gradients are averaged: the same result up to rounding for losses that are means over images. It is only
    nearly so for a loss that divides by its own count of pixels (each process divides by the count of its images),
    and with dropout (each process draws its own).

    Args:
        state: from an earlier ``snapshot()`` of the same training, or None to begin.
        on_row: called with every new row of the history.
        on_step: called after every optimiser step with the number of steps done and a function that takes the state.

    A loss whose start lies behind the end of the training (``Method.starts``) is warned of where the training begins.

    Raises:
        TrainingError: a loss part is not finite; the message names step, part and images. Losses are read at the next
            row of the history, or before the next state is taken: no row and no state has any after that step.
    """
    total, per_epoch = settings.total_steps(source.steps_per_epoch), source.steps_per_epoch
    run = _Run(method, fabric, settings)
    if state is None and fabric.global_rank == 0:
        _warn_of_late_starts(method, total, per_epoch)
    start = run.begin() if state is None else run.restore(state)
    with closing(source.batches(start, total)) as batches, run.meter.explaining():
        for step in range(start, total):
            rate = run.set_learning_rate(step, total, per_epoch)
            method.before_step(StepContext(step, total, per_epoch))
            for part in range(settings.accumulate):
                batch = run.place(next(batches))
                context = StepContext(step, total, per_epoch, step_generator(fabric, seed, step, part))
                with fabric.no_backward_sync(run.network, enabled=part < settings.accumulate - 1):
                    outputs = run.network(_Held(batch))
                    losses = method.losses(outputs, batch, context)
                    run.meter.add(losses, batch.ids, step)
                    fabric.backward(torch.stack(list(losses.values())).sum() / settings.accumulate)
                method.remember(outputs, batch)
                del outputs, losses  # or they lie in memory beside those of the next forward
            run.update(context)
            done = step + 1
            if done % settings.log_every == 0 or done == total:
                run.history.append({"step": done, "epoch": done / per_epoch, "lr": rate} | run.meter.averages(fabric))
                on_row(run.history[-1])
            on_step(done, partial(run.snapshot, done))
    if run.ema is not None:
        method.load_state_dict(run.ema.average)
    return TrainResult(run.history, total)


def _warn_of_late_starts(method: Method, total: int, per_epoch: int) -> None:
    """Say which options put the start of a loss behind the last of ``total`` steps: it would never act, silently."""
    last = StepContext(total - 1, total, per_epoch)
    for layer, page in layers(method):
        for option, needs in page.all_starts().items():
            start = getattr(page, option)
            if start > last.epoch and (not needs or any(getattr(page, need) for need in needs)):
                where = f"add_ons.{layer}" if layer else "model"
                warnings.warn(
                    f"{where}.{option}: expected an epoch before the end of the training, found {start:g} in one of "
                    f"{total / max(per_epoch, 1):g} epochs. What starts there never acts. Remedy: an earlier "
                    f"{option}, or a longer training.",
                    stacklevel=3,
                )


class _Run:
    """The moving parts of a training, in the order in which an optimiser step uses them."""

    def __init__(self, method: Method, fabric: Runtime, settings: TrainSettings) -> None:
        self.method, self.fabric, self.settings = method.train(), fabric, settings
        if fabric.world_size > 1:
            synchronise_batch_norm(method)
        if settings.channels_last:
            method.to(memory_format=torch.channels_last)
        self.network = fabric.setup_module(_Forward(method))
        groups = method.parameter_groups()
        built = build_optimizer(
            groups, settings.optimizer, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        self.optimizer = fabric.setup_optimizers(built)
        self.ema: Ema | None = None
        self.meter = _Meter()
        self.history: list[HistoryRow] = []

    def set_learning_rate(self, step: int, total: int, per_epoch: int) -> float:
        """Set every group's rate for this step; returns the base rate."""
        s = self.settings
        factor = lr_factor(
            step,
            total,
            s.schedule,
            power=s.power,
            warmup_steps=s.warmup_steps,
            decay=s.decay,
            decay_steps=s.decay_epochs * per_epoch,
        )
        set_lr(self.optimizer, factor)
        return s.lr * factor

    def place(self, batch: Batch) -> Batch:
        batch = batch.to(self.fabric.device)
        if self.settings.channels_last:
            return replace(batch, image=batch.image.contiguous(memory_format=torch.channels_last))
        return batch

    def update(self, context: StepContext) -> None:
        if self.settings.clip_norm:
            # a loss scale that was too large makes gradients infinite: the scaler leaves the step out and shrinks
            scaled = getattr(self.fabric.strategy.precision, "scaler", None) is not None
            self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.settings.clip_norm, error_if_nonfinite=not scaled
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.method.after_step(context)
        if self.ema is not None:
            self.ema.update(self.method)

    def snapshot(self, done: int) -> TrainingState:
        """Everything that the next step depends on; the tensors are not copied."""
        return {
            "done": done,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else {},
            "meter": self.meter.sums,
            "history": self.history,
        }

    def begin(self) -> int:
        """Start at step 0."""
        self.method.begin()
        self._follow()
        return 0

    def _follow(self) -> None:
        """The average starts as what the method is once it has begun: a second network may have changed in that."""
        self.ema = Ema(self.method, self.settings.ema) if self.settings.ema else None

    def restore(self, state: TrainingState) -> int:
        """Take over a snapshot; returns the number of steps done."""
        self.method.load_state_dict(state["method"])
        self._follow()
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.meter.sums = state["meter"]
        self.history = state["history"]
        return int(state["done"])


ONE_VALUE = "Expected more than 1 value per channel when training"
"""How PyTorch's batch normalisation begins its complaint about a single value."""


class _Meter:
    """Adds up loss parts between two rows of the history, and stops at the first that is not finite.

    Losses stay on the device until their sums are asked for: reading them makes the host wait for a GPU.
    """

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        self._unread: list[tuple[Tensor, tuple[str, ...], tuple[str, ...], int]] = []

    def add(self, losses: dict[str, Tensor], ids: tuple[str, ...], step: int) -> None:
        """Keep the losses of a micro-batch of the images ``ids``."""
        values = torch.stack([part.detach().float() for part in losses.values()])
        self._unread.append((values, tuple(losses), ids, step))

    @property
    def sums(self) -> dict[str, list[float]]:
        """Sum and count of each part and of their total, of all that was added. TrainingError: see :func:`train`."""
        if self._unread:
            unread, self._unread = self._unread, []
            numbers = iter(torch.cat([values for values, *_ in unread]).tolist())
            for _, names, ids, step in unread:
                self._read({name: next(numbers) for name in names}, ids, step)
        return self._sums

    @sums.setter
    def sums(self, sums: dict[str, list[float]]) -> None:
        self._sums = sums

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """A loss that was not finite is the likelier cause of what fails after it: raise that instead."""
        try:
            yield
        except Exception as error:
            _ = self.sums
            if ONE_VALUE in str(error):
                raise TrainingError(
                    "Expected several values of each channel for batch normalisation, found one: a batch of one image "
                    "with a grid of one cell. Remedy: a larger loader.batch_size or loader.crop, or model.freeze_bn."
                ) from None
            raise

    def _read(self, values: dict[str, float], ids: tuple[str, ...], step: int) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            numbers_text = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise TrainingError(
                f"Step {step}: loss part '{bad[0]}' is not finite ({numbers_text}; images: {', '.join(ids)}). "
                "Remedy: a smaller lr, clip_norm, warmup_steps, or precision 32-true."
            )
        for name, value in {"total": sum(values.values()), **values}.items():
            summed = self._sums.setdefault(name, [0.0, 0])
            summed[0] += value
            summed[1] += 1

    def averages(self, fabric: Runtime) -> HistoryRow:
        """Means since the last call, over all processes."""
        names, sums = list(self.sums), list(self.sums.values())
        self.sums = {}
        means = torch.tensor([value / count for value, count in sums], dtype=torch.float64)
        return dict(zip(names, fabric.all_reduce(means, reduce_op="mean").tolist(), strict=True))


class _Held:
    """Keeps a batch from Fabric, which would cast its image to half precision and cannot rebuild frozen types."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch


class _Forward(nn.Module):
    """What is wrapped for several processes and autocast: the forward of a method, on a held batch."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, held: _Held) -> Outputs:
        return self.method(held.batch)  # type: ignore[no-any-return]


def step_generator(fabric: Runtime, seed: int, step: int, part: int) -> torch.Generator:
    """Seed torch (dropout) and a generator (losses) from when and where this is, and from nothing else."""
    words = np.random.SeedSequence([seed, step, part, fabric.global_rank]).generate_state(2)
    torch.manual_seed(int(words[0]))
    return torch.Generator(fabric.device).manual_seed(int(words[1]))
