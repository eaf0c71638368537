"""The fast backward pass of depthwise convolutions against torch's own."""

from __future__ import annotations

import copy
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.mobilenet_v2 import MobileNetV2
from models.ops.depthwise import DepthwiseConv2d, _Depthwise, quicken
from models.ops.half_precision import is_fast_in


def pair(stride: int, rate: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(0)
    plain, fast = (nn.Conv2d(6, 6, 3, stride, rate, rate, groups=6, bias=False) for _ in range(2))
    fast.load_state_dict(plain.state_dict())
    quicken(nn.Sequential(fast))
    return plain, fast


def gradients(layer: nn.Conv2d, x: Tensor, bfloat16: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        y = layer(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    of_x, of_weight = torch.autograd.grad((y * weights).sum(), (x, layer.weight))
    return y, of_x, of_weight


@pytest.mark.parametrize(("stride", "rate"), [(2, 1), (1, 2), (1, 3), (4, 1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 11), (3, 2)])
def test_gradients_are_those_of_the_plain_convolution(stride: int, rate: int, size: tuple[int, int]) -> None:
    plain, fast = pair(stride, rate)
    assert type(fast) is DepthwiseConv2d
    x = torch.randn(2, 6, *size)
    exact = [value.clone().requires_grad_() for value in (x, plain.weight.detach())]
    ours = [value.clone().requires_grad_() for value in (x, plain.weight.detach())]
    expected = F.conv2d(*exact, stride=stride, padding=rate, dilation=rate, groups=6)
    found = _Depthwise.apply(*ours, None, stride, rate, rate)
    weights = torch.randn(expected.shape)
    assert torch.equal(found, expected)
    for gradient, value in zip(
        torch.autograd.grad((found * weights).sum(), ours),
        torch.autograd.grad((expected * weights).sum(), exact),
        strict=True,
    ):
        torch.testing.assert_close(gradient, value, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not is_fast_in(torch.bfloat16, "cpu"), reason="this CPU has no instructions for bfloat16")
@pytest.mark.parametrize(("stride", "rate"), [(2, 1), (1, 2), (1, 3), (4, 1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 11), (3, 2)])
def test_gradients_in_bfloat16(stride: int, rate: int, size: tuple[int, int]) -> None:
    plain, fast = pair(stride, rate)
    x = torch.randn(2, 6, *size)
    (y, of_x, of_weight), found = gradients(plain, x), gradients(fast, x)
    assert torch.equal(found[0], y)
    torch.testing.assert_close(found[1], of_x, rtol=0.01, atol=0.01)
    torch.testing.assert_close(found[2], of_weight, rtol=0.01, atol=0.05)


KINDS = [  # kernel, stride, rate, bias
    (3, 1, 2, False),  # the backbones' own
    (3, 2, 1, False),
    (3, 1, 4, True),
    (3, 2, 2, False),
    (5, 1, 1, False),  # EfficientNet
    (5, 1, 2, False),
    (5, 2, 1, False),
    (7, 1, 2, True),  # ConvNeXt
]


@pytest.mark.parametrize(("kernel", "stride", "rate", "bias"), KINDS)
@pytest.mark.parametrize("bfloat16", [True, False])
@pytest.mark.parametrize("size", [(32, 33), (16, 9)])
def test_gradients_with_channels_last(
    kernel: int, stride: int, rate: int, bias: bool, bfloat16: bool, size: tuple[int, int]
) -> None:
    """As they are in trainings: torch's own are wrong for a dilation in bfloat16 on 32 columns and more."""
    torch.manual_seed(0)
    layer = nn.Conv2d(24, 24, kernel, stride, rate * (kernel // 2), rate, groups=24, bias=bias)
    for value in layer.parameters():
        value.data.copy_(value.bfloat16())
    exact = copy.deepcopy(layer).double()
    quicken(nn.Sequential(layer))
    assert type(layer) is DepthwiseConv2d
    x = torch.randn(2, 24, *size).bfloat16().float().contiguous(memory_format=torch.channels_last)
    near = {"rtol": 0.02, "atol": 0.02} if bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    found, expected = _all_gradients(layer, x, bfloat16), _all_gradients(exact, x.double(), False)
    for ours, theirs in zip(found, expected, strict=True):
        largest = theirs.abs().max()
        torch.testing.assert_close(ours.double() / largest, theirs / largest, **near)


def _all_gradients(layer: nn.Conv2d, x: Tensor, bfloat16: bool) -> list[Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        y = layer(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).bfloat16().to(y.dtype)
    y.backward(weights)
    return [y, *(cast(Tensor, value.grad) for value in (x, *layer.parameters()))]


@pytest.mark.parametrize("size", [(32, 33), (15, 9)])
def test_gradients_of_a_convolution_that_pads_as_tensorflow_does(size: tuple[int, int]) -> None:
    timm_layers = pytest.importorskip("timm.layers")
    from models.backbones.timm_padding import quicken_padded

    torch.manual_seed(0)
    layer = timm_layers.Conv2dSame(24, 24, 5, stride=2, groups=24, bias=False)
    layer.weight.data.copy_(layer.weight.bfloat16())
    exact = copy.deepcopy(layer).double()
    quicken_padded(nn.Sequential(layer))
    assert isinstance(layer, DepthwiseConv2d)
    x = torch.randn(2, 24, *size).bfloat16().float()
    expected = _all_gradients(exact, x.double(), False)
    for ours, theirs in zip(_all_gradients(layer, x, True), expected, strict=True):
        largest = theirs.abs().max()
        torch.testing.assert_close(ours.double() / largest, theirs / largest, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("stride", "rate", "fast_way"), [(2, 1, False), (1, 2, True), (1, 3, True), (4, 1, False)])
def test_float32_takes_the_fast_way_with_a_dilation_alone(stride: int, rate: int, fast_way: bool) -> None:
    plain, fast = pair(stride, rate)
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    assert (fast(x).grad_fn.name() == "_DepthwiseBackward") == fast_way
    for ours, theirs in zip(gradients(fast, x, bfloat16=False), gradients(plain, x, bfloat16=False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_other_precisions_and_inference_are_untouched() -> None:
    plain, fast = pair(1, 2)
    x = torch.randn(2, 6, 8, 8)
    with torch.inference_mode():
        assert torch.equal(fast(x), plain(x))
    for layer in (plain, fast):
        layer.double()
    assert fast(x.double()).grad_fn.name() == plain(x.double()).grad_fn.name()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 6, 3, 1, 1, groups=6, bias=False),
        nn.Conv2d(6, 6, 3, 2, 0, groups=6, bias=False),
        nn.Conv2d(6, 6, 3, 2, 1, groups=3, bias=False),
        nn.Conv2d(6, 6, 5, 2, 1, groups=6, bias=False),
        nn.Conv2d(6, 6, 4, 2, 1, groups=6),
        nn.Conv2d(6, 6, (3, 5), 2, 1, groups=6),
        nn.Conv2d(6, 6, 3, (2, 1), 1, groups=6),
        nn.Conv2d(6, 6, 1, 2, groups=6),
    ],
)
def test_what_torch_does_fast_or_is_unusual_stays(layer: nn.Conv2d) -> None:
    quicken(nn.Sequential(layer))
    assert type(layer) is nn.Conv2d


def test_mobilenet_has_them_where_it_strides_or_dilates() -> None:
    layers = [m for m in MobileNetV2(output_stride=8).modules() if isinstance(m, nn.Conv2d)]
    depthwise = [cast(nn.Conv2d, m) for m in layers if m.groups > 1]
    assert all(isinstance(m, DepthwiseConv2d) == (m.stride != (1, 1) or m.dilation != (1, 1)) for m in depthwise)
