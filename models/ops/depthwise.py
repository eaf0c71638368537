"""Depthwise convolutions whose backward pass is as fast as their forward pass on a CPU, and right in bfloat16.

Torch has no fast backward pass for a dilation, and in bfloat16 none for a stride or a kernel of 5x5 either (up to 50
times as slow). Where the processor has instructions for bfloat16, torch 2.15 has a wrong one for a dilation: on tensors
with channels last and 30 or more columns, the gradient of the weights is made of memory that nobody wrote (1e18 as
often as 1). What is done here instead:

- 3x3: a convolution with a stride has the gradient of one without, zeros between; one with dilation d is d x d
  undilated ones, side by side;
- other kernels in bfloat16: the backward pass is computed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` with as many groups as channels and an odd square kernel; results agree up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        dtype = torch.bfloat16 if _in_bfloat16() else input.dtype
        if not (torch.is_grad_enabled() and input.device.type == "cpu" and self._gains_in(dtype)):
            return super().forward(input)
        return self._convolved(input.to(dtype))

    def _gains_in(self, dtype: torch.dtype) -> bool:
        """In float32, torch's pass is the faster one but for 3x3 with a dilation."""
        return dtype == torch.bfloat16 or (
            dtype == torch.float32 and self.kernel_size == (3, 3) and self.dilation[0] > 1 == self.stride[0]
        )

    def _convolved(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        options = (self.stride[0], self.dilation[0], int(self.padding[0]))
        convolved: Tensor = _Depthwise.apply(x, self.weight.to(x.dtype), bias, *options)
        return convolved


def quicken(module: nn.Module) -> None:
    """Give depthwise convolutions of ``module`` the pass of this page, where torch's is slow or wrong, in place."""
    for layer in module.modules():
        if type(layer) is nn.Conv2d and _fits(layer):
            layer.__class__ = DepthwiseConv2d


def _fits(layer: nn.Conv2d) -> bool:
    """Not torch's fast case (3x3 without stride and dilation), and nothing is unusual about it."""
    return (
        is_depthwise(layer)
        and layer.padding_mode == "zeros"
        and layer.padding == (layer.dilation[0] * (layer.kernel_size[0] // 2),) * 2
        and (layer.kernel_size[0] > 3 or max(*layer.stride, *layer.dilation) > 1)
    )


def is_depthwise(layer: nn.Conv2d) -> bool:
    """As many groups as channels in and out; kernel, stride and dilation equal for both sides; an odd kernel."""
    (size, *sizes), (_, *strides), (_, *rates) = set(layer.kernel_size), set(layer.stride), set(layer.dilation)
    one_each = layer.groups == layer.in_channels == layer.out_channels
    return one_each and not (sizes or strides or rates) and size % 2 == 1 < size


def _in_bfloat16() -> bool:
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, rate: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.options, ctx.biased = (stride, rate, padding), bias is not None
        return F.conv2d(x, weight, bias, stride, padding, rate, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None, None]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        stride, rate, padding = ctx.options
        of_bias = gradient.sum((0, 2, 3), dtype=torch.float32).to(gradient.dtype) if ctx.biased else None
        if weight.shape[-1] == 3 and padding == rate and min(stride, rate) == 1:
            of_x, of_weight = _of_small_kernel(gradient, x, weight, stride, rate)
        else:
            of_exact = _backward(gradient.float(), x.float(), weight.float(), stride, rate, padding)
            of_x, of_weight = (each.to(x.dtype) for each in of_exact)
        return of_x, of_weight, of_bias, None, None, None


def _of_small_kernel(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, rate: int) -> tuple[Tensor, Tensor]:
    """Gradients of a padded 3x3 convolution with a stride or a dilation, from convolutions without."""
    if stride > 1:
        spread = torch.zeros_like(x)
        spread[:, :, ::stride, ::stride] = gradient
        return _backward(spread, x, weight)
    of_phases, of_weight = _backward(_phases(gradient, rate), _phases(x, rate), weight)
    return _together(of_phases, rate, x.shape[2:]), of_weight


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int = 1, rate: int = 1, padding: int = 1
) -> tuple[Tensor, Tensor]:
    """Torch's gradients of a depthwise convolution with respect to its input and weight."""
    pairs = ([each, each] for each in (stride, padding, rate))
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, *pairs, False, [0, 0], len(weight), [True, True, False]
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
