"""RTC's decoder: two dilated convolutions beside one without, joined by a shallow feature at stride 4."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOW_LEVEL_WIDTH = 48


class RtcDecoder(nn.Module):
    """Linear up to the last ReLU: no norms and no activations between its convolutions.

    Args:
        channels: the backbone's channel counts; ``layer1`` and ``layer4`` are read.
        outputs: 1 + C.
        output_stride: of the backbone; the dilation 12 of stride 8 shrinks with it (6 at stride 16).
        width: of its branches, the first convolution has twice as many channels (RTC 256, 512).
        dropout: not used; it is part of every head's signature.

    Source: ChunyanWang1/RTC@9c777e0:network/resnet38_contrast.py (fc8_seg_conv1 to 5, proj2, classifier2).
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 8,
        width: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        rate, deep = 12 * 8 // output_stride, channels["layer4"]
        self.context = nn.Sequential(
            nn.Conv2d(deep, 2 * width, 3, padding=rate, dilation=rate),
            nn.Conv2d(2 * width, width, 3, padding=rate, dilation=rate),
        )
        self.local = nn.Conv2d(deep, width, 3, padding=1, bias=False)
        self.join = nn.Conv2d(2 * width, width, 1, bias=False)
        self.low_level = nn.Conv2d(channels["layer1"], LOW_LEVEL_WIDTH, 3, padding=1, bias=False)
        self.projection = nn.Conv2d(width + LOW_LEVEL_WIDTH, width, 1, bias=False)
        self.classifier = nn.Conv2d(width, outputs, 1, bias=False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h1,w1] at the grid of ``layer1``."""
        low = self.low_level(features["layer1"])
        deep = self.join(torch.cat([self.context(features["layer4"]), self.local(features["layer4"])], 1))
        high = F.interpolate(deep, low.shape[2:], mode="bilinear", align_corners=True)
        logits: Tensor = self.classifier(F.relu(self.projection(torch.cat([high, low], 1))))
        return logits
