"""ReLU6 in place whose backward pass needs no copy of its input: bit by bit the same, with a third less memory.

Torch's keeps a copy of what it overwrites. The gradient follows from the result alone, which the next convolution keeps
anyway: it passes where the result lies strictly between 0 and 6.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class LeanReLU6(nn.ReLU6):
    """``nn.ReLU6(inplace=True)`` with equal values and gradients; a second derivative is not defined."""

    def forward(self, input: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and input.requires_grad):
            return super().forward(input)
        result: Tensor = _ReLU6.apply(input)
        return result


def slim(module: nn.Module) -> None:
    """Make every in-place ReLU6 of ``module`` a lean one, in place."""
    for layer in module.modules():
        if type(layer) is nn.ReLU6 and layer.inplace:
            layer.__class__ = LeanReLU6


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x.clamp_(0, 6)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (result,) = gradients, ctx.saved_tensors
        of_x: Tensor = torch.ops.aten.hardtanh_backward(gradient, result, 0, 6)
        return of_x
