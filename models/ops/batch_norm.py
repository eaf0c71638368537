"""Batch normalisation with the statistics of the batches of all processes, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training statistics are those of the global batch (Peng et al. 2018, MegDet).

    ``torch.nn.SyncBatchNorm`` refuses CPU tensors, and is no ``BatchNorm2d``, so that code which freezes batch norms
    would miss it. Parameters, buffers and evaluation are those of the base class.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        mean, variance, count = _global_moments(input)
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach() * (count / (count - 1).clamp(min=1)))
        scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        shift = (0 if self.bias is None else self.bias) - mean * scale
        return (input * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


class SynchronisedBatchNormAct2d(SynchronisedBatchNorm2d):
    """The same of timm's batch norm with a drop layer and an activation."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(input)))
        return activated


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _SumOverProcesses.forward(ctx, gradient.contiguous())


def _global_moments(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], biased variance [C] and number of values of each channel over all processes, in two passes.

    Gradients flow through both sums, to every process.
    """
    values = input.float()
    count = values.new_full((1,), values.numel() / values.shape[1])
    total = _SumOverProcesses.apply(torch.cat([values.sum((0, 2, 3)), count]))
    mean, count = total[:-1] / total[-1], total[-1].detach()
    squares = (values - mean[:, None, None]).square().sum((0, 2, 3))
    return mean, _SumOverProcesses.apply(squares) / count, count


def synchronise_batch_norm(module: nn.Module) -> None:
    """Make every ``BatchNorm2d`` of ``module`` take its statistics over all processes.

    The class is exchanged in place: parameters, buffers, hooks and references to the layers stay as they are.
    """
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SynchronisedBatchNorm2d
        elif type(layer).__name__ == "BatchNormAct2d":  # not imported: timm is an extra
            layer.__class__ = SynchronisedBatchNormAct2d


@contextmanager
def untracked(module: nn.Module) -> Iterator[None]:
    """Within the block batch norms in training normalise by their batch, but leave their running statistics alone."""
    tracking = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
