"""ResNets as three code bases of the field changed them: IRN's, SPML's and the one that came from Caffe."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

import models.backbones.quick_torchvision  # noqa: F401 (before torchvision)

# isort: split
from torchvision.models.resnet import Bottleneck

from models.backbones.base import NOMINAL_STRIDES
from models.backbones.resnet import ResNet, ResNet50, build_layer
from models.ops.initialise import initialise

CAFFE_MEAN = (122.675, 116.669, 104.008)
"""Mean colour (RGB, 0..255) that weights from Caffe have taken off; they do not divide."""


class ResNet50Irn(ResNet50):
    """ResNet-50 whose last stage has neither stride nor dilation: output stride 16.

    Source: jiwoon-ahn/irn@a2ece00:net/resnet50.py.
    """

    output_strides = (16,)

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 16, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        super().__init__(width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages)
        for convolution in (m for m in self.layer4.modules() if isinstance(m, nn.Conv2d)):
            convolution.dilation = (1, 1)
            convolution.padding = (convolution.kernel_size[0] // 2, convolution.kernel_size[1] // 2)


class ResNet101Deep(ResNet):
    """ResNet-101 with three 3x3 convolutions, of 64, 64 and 128 channels, for a stem.

    The entries of its stem are ``conv1`` and ``bn1``, as in the ImageNet weights that SPML starts from.

    Source: twke18/SPML@0800afd:spml/models/backbones/resnet.py.
    """

    block, depths, library = Bottleneck, (3, 4, 23, 3), "SPML"

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 8, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        super().__init__(width=width, output_stride=output_stride)
        half = self.bn1.num_features
        self.conv1 = nn.Sequential(  # type: ignore[assignment]
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, 2 * half, 3, padding=1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(2 * half)
        self.channels["stem"] = 2 * half
        self.layer1 = build_layer(Bottleneck, 2 * half, half, self.depths[0], stride=1)
        initialise(self.conv1)
        initialise(self.layer1)
        self.freeze(freeze_bn, frozen_stages)


class ResNet101Caffe(ResNet):
    """ResNet-101 of Caffe's habits: strides on the first 1x1, a pooling that rounds up, no division of the input.

    Every 3x3 of a dilated stage has the same dilation, its first too. Published files have blue first; ours, as all
    backbones, red.

    Source: kazuto1011/deeplab-pytorch@4219467:libs/models/resnet.py.
    """

    block, depths, library = Bottleneck, (3, 4, 23, 3), "deeplab-pytorch"

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 8, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        super().__init__(width=width, output_stride=output_stride)
        strides = (4, *NOMINAL_STRIDES)
        for layer, before, after in zip(self.stages()[1:], strides, NOMINAL_STRIDES, strict=False):
            _restride(layer, after // before, after // output_stride)
        self.mean.copy_(torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1) / 255)
        self.std.fill_(1 / 255)
        self.freeze(freeze_bn, frozen_stages)

    def stages(self) -> list[nn.Module]:
        stem, *layers = super().stages()
        assert isinstance(stem, nn.Sequential)
        return [nn.Sequential(*list(stem)[:-1], nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)), *layers]

    @classmethod
    def own_name(cls, published: str) -> str:
        for pattern, name in CAFFE_NAMES.items():
            published = re.sub(pattern, name, published)
        match = re.match(r"^layer(\d)\.block(\d+)\.(.*)$", published)
        return f"layer{int(match[1]) - 1}.{int(match[2]) - 1}.{match[3]}" if match else published

    @classmethod
    def own_value(cls, name: str, value: Tensor) -> Tensor:
        return value.flip(1) if name == "conv1.weight" else value


CAFFE_NAMES = {
    r"^base\.": "",
    r"^layer1\.conv1\.conv\.": "conv1.",
    r"^layer1\.conv1\.bn\.": "bn1.",
    r"\.reduce\.conv\.": ".conv1.",
    r"\.reduce\.bn\.": ".bn1.",
    r"\.conv3x3\.conv\.": ".conv2.",
    r"\.conv3x3\.bn\.": ".bn2.",
    r"\.increase\.conv\.": ".conv3.",
    r"\.increase\.bn\.": ".bn3.",
    r"\.shortcut\.conv\.": ".downsample.0.",
    r"\.shortcut\.bn\.": ".downsample.1.",
}
"""Names of deeplab-pytorch, as patterns -> torchvision's."""


def _restride(layer: nn.Module, stride: int, dilation: int) -> None:
    """Put a layer's stride on its first 1x1, or spread all its 3x3 by ``dilation`` where that replaces the stride."""
    step = stride if dilation <= 1 else 1
    for number, block in enumerate(layer.children()):
        assert isinstance(block, Bottleneck)
        first = (step, step) if number == 0 else (1, 1)
        block.conv1.stride, block.conv2.stride = first, (1, 1)
        block.conv2.dilation = block.conv2.padding = (max(1, dilation), max(1, dilation))
        if block.downsample is not None:
            shortcut = block.downsample[0]
            assert isinstance(shortcut, nn.Conv2d)
            shortcut.stride = first
