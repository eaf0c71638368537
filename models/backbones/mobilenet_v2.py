"""MobileNetV2 (Sandler et al. 2018), built by torchvision."""

from __future__ import annotations

from torch import nn

import models.backbones.quick_torchvision  # noqa: F401 (before torchvision)

# isort: split
from torchvision.models import mobilenet_v2

from models.backbones.base import Backbone, limit_stride
from models.ops.depthwise import quicken
from models.ops.relu6 import slim

STAGES = (slice(0, 1), slice(1, 4), slice(4, 7), slice(7, 14), slice(14, 19))
"""Blocks of ``features`` that end at strides 2 (stem), 4, 8, 16 and 32."""


class MobileNetV2(Backbone):
    """Features of 24, 32, 96 and 1280 channels (times ``width``, the last never below 1280).

    Args:
        width: multiplier of the channel counts; published weights exist for 1.0.
        output_stride: 8, 16 or 32.
        freeze_bn, frozen_stages: see :meth:`Backbone.freeze`.
    """

    def __init__(
        self, *, width: float = 1.0, output_stride: int = 16, freeze_bn: bool = False, frozen_stages: int = 0
    ) -> None:
        features = mobilenet_v2(width_mult=width).features
        last_convolution = [[m for m in features[s].modules() if isinstance(m, nn.Conv2d)][-1] for s in STAGES[1:]]
        super().__init__(
            output_stride, [conv.out_channels for conv in last_convolution], (features[0][0].out_channels, 2)
        )
        self.features = features
        limit_stride(self.stages()[1:], output_stride)
        quicken(self)
        slim(self)
        self.freeze(freeze_bn, frozen_stages)

    def stages(self) -> list[nn.Module]:
        return [self.features[s] for s in STAGES]
