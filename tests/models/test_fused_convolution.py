"""Fused convolutions say what the plain layers say, and are taken only where a network looks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.backbones.mobilenet_v2 import MobileNetV2
from models.ops import fused_convolution
from models.ops.fused_convolution import FusedSequential, fuse


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the activations of fused calls."""
    seen: list[str] = []
    plain = fused_convolution._fused

    def counted(x: torch.Tensor, convolution: nn.Module, norm: nn.Module, activation: nn.Module | None) -> torch.Tensor:
        seen.append(type(activation).__name__)
        return plain(x, convolution, norm, activation)

    monkeypatch.setattr(fused_convolution, "_fused", counted)
    return seen


def layers(*more: nn.Module) -> nn.Sequential:
    """A convolution with stride, dilation, groups and bias, a batch norm with statistics, and what follows."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    norm.running_mean.normal_()  # type: ignore[union-attr]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    convolution = nn.Conv2d(4, 8, 3, stride=2, padding=2, dilation=2, groups=2)
    return nn.Sequential(convolution, norm, *more).eval()


@pytest.mark.parametrize("more", [[], [nn.ReLU()], [nn.ReLU6()], [nn.Sigmoid()], [nn.ReLU6(), nn.Conv2d(8, 2, 1)]])
@torch.no_grad()
def test_a_fused_layer_has_the_plain_result(more: list[nn.Module], calls: list[str]) -> None:
    network, x = layers(*more), 3 * torch.randn(2, 4, 11, 9)
    wanted = network(x)
    fuse(network)
    assert type(network) is FusedSequential
    torch.testing.assert_close(network(x), wanted, rtol=1e-5, atol=1e-5)
    assert len(calls) == 1


def test_training_takes_the_plain_layers(calls: list[str]) -> None:
    network, x = layers(nn.ReLU()), torch.randn(2, 4, 11, 9)
    fuse(network)
    with torch.enable_grad():
        network(x).sum().backward()
    with torch.no_grad():
        network.train()(x)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network.eval()(x)
    assert not calls
    assert network[0].weight.grad is not None


def test_a_whole_backbone(calls: list[str]) -> None:
    torch.manual_seed(0)
    network, image = MobileNetV2(output_stride=16).eval(), torch.rand(1, 3, 65, 49)
    names = set(network.state_dict())
    wanted = {name: feature.detach() for name, feature in network(image).items()}
    assert not calls
    with torch.inference_mode():
        for name, feature in network(image).items():
            torch.testing.assert_close(feature, wanted[name], rtol=1e-4, atol=1e-5)
    assert calls.count("ReLU6") == 35
    assert calls.count("NoneType") == 17
    assert set(network.state_dict()) == names
