"""ResNet-18, -50 and -101 (He et al. 2016), of torchvision's blocks."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

import models.backbones.quick_torchvision  # noqa: F401 (before torchvision)

# isort: split
from torchvision.models.resnet import BasicBlock, Bottleneck

from models.backbones.base import Backbone, limit_stride
from models.ops.initialise import initialise


class ResNet(Backbone):
    """Features of ``width`` x 1, 2, 4, 8 channels, times the block's expansion (1 or 4).

    Args:
        width: channels of the stem as a fraction of 64; published weights exist for 1.0.
        output_stride: 8, 16 or 32.
        freeze_bn, frozen_stages: see :meth:`Backbone.freeze`.
    """

    block: ClassVar[type[BasicBlock] | type[Bottleneck]]
    depths: ClassVar[tuple[int, int, int, int]]

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 16, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        block, depths = self.block, self.depths
        base = max(8, round(64 * width))
        planes = [base, 2 * base, 4 * base, 8 * base]
        super().__init__(output_stride, [p * block.expansion for p in planes], (base, 4))
        self.conv1 = nn.Conv2d(3, base, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        inputs = list(self.channels.values())
        self.layer1 = build_layer(block, inputs[0], planes[0], depths[0], stride=1)
        self.layer2 = build_layer(block, inputs[1], planes[1], depths[1], stride=2)
        self.layer3 = build_layer(block, inputs[2], planes[2], depths[2], stride=2)
        self.layer4 = build_layer(block, inputs[3], planes[3], depths[3], stride=2)
        initialise(self)
        limit_stride(self.stages()[1:], output_stride)
        self.freeze(freeze_bn, frozen_stages)

    def stages(self) -> list[nn.Module]:
        stem = nn.Sequential(self.conv1, self.bn1, nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1))
        return [stem, self.layer1, self.layer2, self.layer3, self.layer4]


def build_layer(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, planes: int, depth: int, stride: int
) -> nn.Sequential:
    """``depth`` blocks, the first with the stride."""
    outputs = planes * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )
    blocks: list[nn.Module] = [block(inputs, planes, stride, shortcut)]
    blocks += [block(outputs, planes) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


class ResNet18(ResNet):
    """Features of 64, 128, 256, 512 channels, 11 M parameters."""

    block, depths = BasicBlock, (2, 2, 2, 2)


class ResNet50(ResNet):
    """Features of 256, 512, 1024, 2048 channels, 24 M parameters."""

    block, depths = Bottleneck, (3, 4, 6, 3)


class ResNet101(ResNet):
    """Features of 256, 512, 1024, 2048 channels, 43 M parameters."""

    block, depths = Bottleneck, (3, 4, 23, 3)
