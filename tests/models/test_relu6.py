"""ReLU6 that keeps no copy of its input, against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.backbones.mobilenet_v2 import MobileNetV2
from models.ops.relu6 import LeanReLU6, slim


def lean() -> LeanReLU6:
    layers = nn.Sequential(nn.ReLU6(inplace=True))
    slim(layers)
    layer = layers[0]
    assert type(layer) is LeanReLU6
    return layer


def gradient(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = layer(1 * x)
    return y, torch.autograd.grad((y * torch.arange(len(x), dtype=x.dtype)).sum(), x)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_torch_bit_by_bit(dtype: torch.dtype) -> None:
    edges = [float("-inf"), -1, -0.0, 0.0, 1e-40, 0.5, 5.999, 6, 6.001, float("inf"), float("nan")]
    x = torch.tensor(edges, dtype=dtype)
    for ours, theirs in zip(gradient(lean(), x), gradient(nn.ReLU6(inplace=True), x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_without_a_graph_it_is_torchs() -> None:
    x = torch.randn(50) * 5
    with torch.inference_mode():
        assert torch.equal(lean()(x.clone()), nn.ReLU6()(x))
    assert lean()(x.clone()).grad_fn is None


def test_others_stay() -> None:
    layers = nn.Sequential(nn.ReLU6(), nn.ReLU(inplace=True))
    slim(layers)
    assert [type(layer) for layer in layers] == [nn.ReLU6, nn.ReLU]


def kept(network: nn.Module, image: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass beside the weights, each memory counted once."""
    weights = {value.data_ptr() for value in network.parameters()}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = network(image)
    assert features["layer4"].requires_grad
    return sum(sizes.values())


def test_mobilenet_keeps_a_third_less() -> None:
    image, network = torch.rand(2, 3, 64, 64), MobileNetV2(output_stride=16)
    less = kept(network, image)
    for layer in network.modules():
        if type(layer) is LeanReLU6:
            layer.__class__ = nn.ReLU6
    assert less < 0.72 * kept(network, image)
