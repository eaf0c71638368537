"""Features whose distances are affinities (PSA)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = ("layer2", "layer3", "layer4")


class AffinityHead(nn.Module):
    """Three levels of a backbone, each through a 1x1 convolution, mixed by another, all with ELU.

    Args:
        channels: the backbone's channel counts. strides: its strides; deeper levels come to the grid of ``layer2``.
        width: channels of the first level; the deeper have twice and four times as many (PSA: 64, 128, 256).

    Source: jiwoon-ahn/psa@9493e59:network/resnet38_aff.py (f8_3, f8_4, f8_5, f9).
    """

    def __init__(self, channels: Mapping[str, int], *, width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        convolutions = [
            nn.Conv2d(channels[level], w, kernel_size=1, bias=False) for level, w in zip(LEVELS, widths, strict=True)
        ]
        self.levels = nn.ModuleList(convolutions)
        self.mix = nn.Conv2d(sum(widths), sum(widths), kernel_size=1, bias=False)
        for convolution in convolutions:
            nn.init.kaiming_normal_(convolution.weight)
        nn.init.xavier_uniform_(self.mix.weight, gain=4)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """[B,7*width,h,w] at the grid of ``layer2``."""
        size = features["layer2"].shape[2:]
        levels = [F.elu(level(features[name])) for name, level in zip(LEVELS, self.levels, strict=True)]
        enlarged = [
            level if level.shape[2:] == size else F.interpolate(level, size, mode="bilinear", align_corners=False)
            for level in levels
        ]
        mixed: Tensor = F.elu(self.mix(torch.cat(enlarged, 1)))
        return mixed
