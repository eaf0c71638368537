"""Features by which pixel correlation compares cells (SEAM): colour, and two levels that it does not teach."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = ("layer2", "layer3")


class CorrelationHead(nn.Module):
    """The image and two levels, each through a 1x1 convolution and ReLU, mixed by another.

    Args:
        channels: the backbone's channel counts; its ``layer2`` and ``layer3`` are read, without gradient.
        width: channels of the first level, twice as many for the second (SEAM 64, 128).

    Source: YudeWang/SEAM@3212261:network/resnet38_SEAM.py (f8_3, f8_4, f9).
    """

    def __init__(self, channels: Mapping[str, int], *, width: int = 64) -> None:
        super().__init__()
        widths = (width, 2 * width)
        convolutions = [
            nn.Conv2d(channels[name], w, kernel_size=1, bias=False) for name, w in zip(LEVELS, widths, strict=True)
        ]
        self.levels = nn.ModuleList(convolutions)
        self.mix = nn.Conv2d(3 + sum(widths), sum(widths), kernel_size=1, bias=False)
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=4)

    def forward(self, image: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """[B,3*width,h,w] at the grid of ``layer4``, for the normalised image [B,3,H,W]."""
        size = features["layer4"].shape[2:]
        parts = [image] + [
            F.relu(level(features[name].detach())) for name, level in zip(LEVELS, self.levels, strict=True)
        ]
        mixed: Tensor = self.mix(torch.cat([_to_size(part, size) for part in parts], 1))
        return mixed


def _to_size(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)
