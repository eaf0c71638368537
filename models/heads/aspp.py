"""Atrous spatial pyramid pooling: DeepLab v2 (sum), v3 (concatenation and image pooling), v3+ (decoder)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ops.initialise import initialise

V2_RATES = (6, 12, 18, 24)
"""At output stride 8 (Chen et al. 2018, DeepLab v2, ASPP-L)."""
V3_RATES = (6, 12, 18)
"""At output stride 16 (Chen et al. 2017, DeepLab v3)."""
LOW_LEVEL_WIDTH = 48
"""Channels that the v3+ decoder keeps of the low-level feature (Chen et al. 2018, DeepLab v3+, section 4.1)."""


class AsppV2(nn.Module):
    """Sum of four dilated 3x3 classifiers. ``width`` is not used; ``dropout`` acts on the feature."""

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        rates = [rate * 8 // output_stride for rate in V2_RATES]
        self.dropout = nn.Dropout(dropout)
        branches = [nn.Conv2d(channels["layer4"], outputs, 3, padding=rate, dilation=rate) for rate in rates]
        for branch in branches:
            nn.init.normal_(branch.weight, std=0.01)
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h,w]."""
        x = self.dropout(features["layer4"])
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


class AsppV3(nn.Module):
    """1x1, three dilated 3x3 and image pooling, concatenated, projected to ``width``, then classified."""

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        rates = [rate * 16 // output_stride for rate in V3_RATES]
        inputs = channels["layer4"]
        self.branches = nn.ModuleList(
            [conv_block(inputs, width, 1), *(conv_block(inputs, width, 3, rate) for rate in rates)]
        )
        self.pooling = conv_block(inputs, width, 1)
        self.projection = conv_block(width * (len(rates) + 2), width, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(width, outputs, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def encode(self, feature: Tensor) -> Tensor:
        """[B,c4,h,w] -> [B,width,h,w]."""
        pooled = self.pooling(feature.mean((2, 3), keepdim=True)).expand(-1, -1, *feature.shape[2:])
        projected: Tensor = self.projection(torch.cat([*(branch(feature) for branch in self.branches), pooled], 1))
        encoded: Tensor = self.dropout(projected)
        return encoded

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h,w]."""
        logits: Tensor = self.classifier(self.encode(features["layer4"]))
        return logits


class AsppV3Plus(AsppV3):
    """v3, upsampled to stride 4, joined by 48 channels of ``layer1`` and refined by two 3x3 convolutions."""

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(channels, outputs, output_stride=output_stride, width=width, dropout=dropout)
        self.low_level = conv_block(channels["layer1"], LOW_LEVEL_WIDTH, 1)
        self.decoder = nn.Sequential(conv_block(width + LOW_LEVEL_WIDTH, width, 3), conv_block(width, width, 3))
        initialise(self.low_level)
        initialise(self.decoder)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h1,w1] at the grid of ``layer1``."""
        low = self.low_level(features["layer1"])
        high = F.interpolate(self.encode(features["layer4"]), low.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.classifier(self.decoder(torch.cat([high, low], 1)))
        return logits


def conv_block(inputs: int, outputs: int, kernel: int, rate: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps the grid, batch norm, ReLU."""
    padding = rate * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
