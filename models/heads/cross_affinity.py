"""Features by which RTC compares cells: shallow ones (colour and one level) apart from deep ones (two levels)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = ("layer2", "layer3", "layer4")


class CrossAffinityHead(nn.Module):
    """Three levels, each through a 1x1 convolution and ReLU; one mixer for colour and the first, one for the others.

    Args:
        channels: the backbone's channel counts; ``layer2``, ``layer3`` and ``layer4`` are read, without gradient.
        width: channels of the first level, twice as many for the others (RTC 64, 128, 128).

    Source: ChunyanWang1/RTC@9c777e0:network/resnet38_contrast.py (f8_3, f8_4, f8_5, f9_1, f9_2).
    """

    def __init__(self, channels: Mapping[str, int], *, width: int = 64) -> None:
        super().__init__()
        widths = (width, 2 * width, 2 * width)
        convolutions = [
            nn.Conv2d(channels[name], w, kernel_size=1, bias=False) for name, w in zip(LEVELS, widths, strict=True)
        ]
        self.levels = nn.ModuleList(convolutions)
        self.mix_deep = nn.Conv2d(4 * width, 2 * width, kernel_size=1, bias=False)
        self.mix_shallow = nn.Conv2d(3 + width, width, kernel_size=1, bias=False)
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight)
        nn.init.xavier_uniform_(self.mix_deep.weight, gain=4)
        nn.init.xavier_uniform_(self.mix_shallow.weight)

    def forward(self, image: Tensor, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Deep [B,2*width,h,w] and shallow [B,width,h,w], at the grid of ``layer4``, for the normalised image."""
        size = features["layer4"].shape[2:]
        colour, low, middle, high = (
            _to_size(part, size)
            for part in (
                image,
                *(F.relu(level(features[name].detach())) for name, level in zip(LEVELS, self.levels, strict=True)),
            )
        )
        return self.mix_deep(torch.cat([middle, high], 1)), self.mix_shallow(torch.cat([colour, low], 1))


def _to_size(maps: Tensor, size: torch.Size) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)
