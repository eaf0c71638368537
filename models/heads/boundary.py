"""Class boundaries and displacements to object centres, from all levels of a backbone (IRN)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = ("stem", "layer1", "layer2", "layer3", "layer4")


class Tap(nn.Module):
    """1x1 convolution, group norm, enlargement, ReLU: one level brought to a finer grid."""

    def __init__(self, inputs: int, outputs: int, groups: int, factor: float) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
        self.norm = nn.GroupNorm(groups, outputs)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """[B,outputs,h*factor,w*factor]: the enlargement sits between norm and ReLU."""
        x = self.norm(self.convolution(x))
        if self.factor != 1:
            size = [math.ceil(length * self.factor) for length in x.shape[2:]]
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        return F.relu(x)


class BoundaryHead(nn.Module):
    """Logit of a class boundary at the grid of ``layer1`` (stride 4).

    Args:
        channels, strides: the backbone's, ``stem`` included.
        width: channels of each level (IRN 32, in 4 groups).

    Source: jiwoon-ahn/irn@a2ece00:net/resnet50_irn.py (edge layers).
    """

    def __init__(self, channels: Mapping[str, int], strides: Mapping[str, int], *, width: int = 32) -> None:
        super().__init__()
        self.taps = nn.ModuleDict(
            {name: Tap(channels[name], width, 4, strides[name] / strides["layer1"]) for name in LEVELS}
        )
        self.logit = nn.Conv2d(width * len(LEVELS), 1, kernel_size=1)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """[B,1,h,w]."""
        size = features["layer1"].shape[2:]
        logits: Tensor = self.logit(_join([tap(features[name]) for name, tap in self.taps.items()], size))
        return logits


class DisplacementHead(nn.Module):
    """For each cell of ``layer1``'s grid the way (y, x), in cells, to the centre of its object.

    Only differences are learned, so a common offset is left: its mean, ``mean``, is taken off outside training.

    Args:
        channels, strides: the backbone's, ``stem`` included.
        width: channels of the stem's level (IRN 64, then 128, 256, 256, 256).

    Source: jiwoon-ahn/irn@a2ece00:net/resnet50_irn.py (displacement layers).
    """

    mean: Tensor

    def __init__(self, channels: Mapping[str, int], strides: Mapping[str, int], *, width: int = 64) -> None:
        super().__init__()
        widths = dict(zip(LEVELS, (width, 2 * width, 4 * width, 4 * width, 4 * width), strict=True))
        target = {"stem": "layer1", "layer1": "layer1", "layer2": "layer2", "layer3": "layer2", "layer4": "layer2"}
        self.taps = nn.ModuleDict(
            {
                name: Tap(channels[name], w, 8 if name == "stem" else 16, strides[name] / strides[target[name]])
                for name, w in widths.items()
            }
        )
        self.deep = Tap(12 * width, 4 * width, 16, strides["layer2"] / strides["layer1"])
        self.mix = nn.Sequential(
            nn.Conv2d(7 * width, 4 * width, kernel_size=1, bias=False),
            nn.GroupNorm(16, 4 * width),
            nn.ReLU(inplace=True),
            nn.Conv2d(4 * width, 2, kernel_size=1, bias=False),
        )
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """[B,2,h,w]."""
        levels = {name: tap(features[name]) for name, tap in self.taps.items()}
        deep = self.deep(_join([levels[name] for name in LEVELS[2:]], features["layer2"].shape[2:]))
        displacement: Tensor = self.mix(_join([levels["stem"], levels["layer1"], deep], features["layer1"].shape[2:]))
        return displacement if self.training else displacement - self.mean[:, None, None]


def _join(maps: list[Tensor], size: torch.Size) -> Tensor:
    """The maps, cropped to one size, one after the other."""
    return torch.cat([m[..., : size[0], : size[1]] for m in maps], 1)
