"""Convolution, batch norm and activation in one call of oneDNN, where a network only looks (on a CPU, in float32).

A stored batch norm is a scale and a shift of each channel, which the convolution takes into its weights, and the
activation is taken while a value is still in a register: each layer then goes through memory once and not three times.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0, 6])}
"""Module -> oneDNN's name of it, with its numbers."""


class FusedSequential(nn.Sequential):
    """``nn.Sequential`` whose convolutions with a batch norm behind them are one call; results agree up to rounding."""

    def forward(self, input: Tensor) -> Tensor:
        if not _is_looking(input):
            plain: Tensor = super().forward(input)
            return plain
        for convolution, norm, activation in _grouped(list(self)):
            input = convolution(input) if norm is None else _fused(input, convolution, norm, activation)
        return input


def fuse(module: nn.Module) -> None:
    """Let every ``nn.Sequential`` of ``module`` that has a convolution before a batch norm be fused, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Sequential) and any(_fits(*pair) for pair in zip(layer, list(layer)[1:], strict=False)):
            layer.__class__ = FusedSequential


def _is_looking(x: Tensor) -> bool:
    """No gradient is wanted, nothing is being exported, and oneDNN computes in float32."""
    return (
        not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and type(x) is Tensor
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()  # type: ignore[attr-defined]
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # torch's compiler has it; no promise that it stays
    )


def _grouped(layers: list[nn.Module]) -> Iterator[tuple[nn.Module, nn.Module | None, nn.Module | None]]:
    """(convolution, batch norm, activation or None), or (any other layer, None, None), in order."""
    while layers:
        if len(layers) > 1 and _fits(*layers[:2]) and not layers[1].training:
            active = type(layers[2]) in ACTIVATIONS if len(layers) > 2 else False
            yield layers[0], layers[1], layers[2] if active else None
            layers = layers[2 + active :]
        else:
            yield layers[0], None, None
            layers = layers[1:]


def _fits(layer: nn.Module, following: nn.Module) -> bool:
    return (
        isinstance(layer, nn.Conv2d)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and isinstance(following, nn.BatchNorm2d)
        and following.affine
        and following.track_running_stats
    )


def _fused(x: Tensor, convolution: nn.Module, norm: nn.Module, activation: nn.Module | None) -> Tensor:
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    shift = norm.bias - norm.running_mean * scale
    bias = shift if convolution.bias is None else shift + convolution.bias * scale
    name, numbers = ("none", []) if activation is None else ACTIVATIONS[type(activation)]
    fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x,
        convolution.weight * scale[:, None, None, None],
        bias,
        convolution.padding,
        convolution.stride,
        convolution.dilation,
        convolution.groups,
        name,
        numbers,
        "",
    )
    return fused
