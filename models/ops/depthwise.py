"""Depthwise convolutions whose backward pass is as fast as their forward pass on a CPU.

Torch has no fast kernel for it with a dilation, and in bfloat16 none with a stride either (up to 50 times as slow). A
convolution with a stride has the gradient of one without, zeros between; one with dilation d is d x d undilated ones,
side by side.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` with as many groups as channels, a 3x3 kernel and no bias; results agree up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        dtype = torch.bfloat16 if _in_bfloat16() else input.dtype
        if not (torch.is_grad_enabled() and input.device.type == "cpu" and self._gains_in(dtype)):
            return super().forward(input)
        x, weight = input.to(dtype), self.weight.to(dtype)
        convolved: Tensor = _Depthwise.apply(x, weight, self.stride[0], self.dilation[0])
        return convolved

    def _gains_in(self, dtype: torch.dtype) -> bool:
        """In float32, torch's pass with a stride is the faster one."""
        return dtype == torch.bfloat16 or (dtype == torch.float32 and self.dilation[0] > 1)


def quicken(module: nn.Module) -> None:
    """Give the depthwise 3x3 convolutions of ``module`` that have a stride or a dilation the fast pass, in place."""
    for layer in module.modules():
        if type(layer) is nn.Conv2d and _fits(layer):
            layer.__class__ = DepthwiseConv2d


def _fits(layer: nn.Conv2d) -> bool:
    """One of stride and dilation is 1, padding keeps the centre, and nothing else is unusual."""
    (stride, *strides), (rate, *rates) = set(layer.stride), set(layer.dilation)
    return (
        layer.groups == layer.in_channels == layer.out_channels
        and layer.kernel_size == (3, 3)
        and layer.padding == (rate, rate)
        and layer.padding_mode == "zeros"
        and layer.bias is None
        and not strides
        and not rates
        and min(stride, rate) == 1 < max(stride, rate)
    )


def _in_bfloat16() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, rate: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.rate = stride, rate
        return F.conv2d(x, weight, stride=stride, padding=rate, dilation=rate, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,), (x, weight), size = gradients, ctx.saved_tensors, ctx.saved_tensors[0].shape[2:]
        if ctx.stride > 1:
            spread = torch.zeros_like(x)
            spread[:, :, :: ctx.stride, :: ctx.stride] = gradient
            of_x, of_weight = _backward(spread, x, weight)
        else:
            of_phases, of_weight = _backward(_phases(gradient, ctx.rate), _phases(x, ctx.rate), weight)
            of_x = _together(of_phases, ctx.rate, size)
        return of_x, of_weight, None, None


def _backward(gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a plain 3x3 depthwise convolution with respect to its input and weight."""
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], len(weight), [True, True, False]
    )
    return of_x, of_weight


def _phases(maps: Tensor, rate: int) -> Tensor:
    """Every ``rate``-th row and column, each phase an image of its own: [rate^2 B,C,ceil(H/rate),ceil(W/rate)]."""
    height, width = maps.shape[2:]
    padded = F.pad(maps, (0, -width % rate, 0, -height % rate))
    phases = [padded[:, :, i::rate, j::rate] for i in range(rate) for j in range(rate)]
    return torch.cat(phases).contiguous(memory_format=torch.channels_last)


def _together(phases: Tensor, rate: int, size: torch.Size) -> Tensor:
    """The inverse of :func:`_phases`."""
    images, channels, rows, columns = phases.shape
    whole = phases.new_empty((images // rate**2, channels, rows * rate, columns * rate))
    whole = whole.contiguous(memory_format=torch.channels_last)
    for index, phase in enumerate(phases.chunk(rate**2)):
        whole[:, :, index // rate :: rate, index % rate :: rate] = phase
    return whole[:, :, : size[0], : size[1]]
