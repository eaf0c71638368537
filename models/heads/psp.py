"""PSPNet's pyramid pooling (Zhao et al. 2017, section 3.2): a feature beside its means over four coarse grids."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.heads.aspp import conv_block
from models.ops.initialise import initialise

BINS = (1, 2, 3, 6)
"""Cells along each side of the four grids."""


class PyramidPooling(nn.Module):
    """Four pooled copies, each through a 1x1 convolution, batch norm and ReLU, beside the feature; a 1x1 classifier.

    Args:
        channels: the backbone's channel counts; only ``layer4`` is read.
        outputs: 1 + C, or the dimensions of an embedding (SPML for DensePose: 32).
        output_stride: not used; it is part of every head's signature.
        width: channels of each pooled copy (PSPNet and SPML 512).
        dropout: before the classifier.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        deep = channels["layer4"]
        self.levels = nn.ModuleList(conv_block(deep, width, 1) for _ in BINS)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(deep + width * len(BINS), outputs, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """[B,outputs,h,w]."""
        feature = features["layer4"]
        parts = [feature]
        for bins, level in zip(BINS, self.levels, strict=True):
            pooled = level(grid_means(feature, bins))
            parts.append(F.interpolate(pooled, feature.shape[2:], mode="bilinear", align_corners=False))
        out: Tensor = self.classifier(self.dropout(torch.cat(parts, 1)))
        return out


def grid_means(feature: Tensor, bins: int) -> Tensor:
    """``F.adaptive_avg_pool2d(feature, bins)``, which ONNX does not have for pictures of any size: [B,C,bins,bins]."""
    rows, columns = (_shares(length, bins, feature) for length in feature.shape[2:])
    return rows @ feature @ columns.T


def _shares(length: int, bins: int, like: Tensor) -> Tensor:
    """What each of ``length`` cells adds to the mean of each bin, [bins,length]; neighbouring bins may share a cell."""
    cell = torch.arange(length, device=like.device)
    number = torch.arange(bins, device=like.device)[:, None]
    first, end = number * length // bins, -(-(number + 1) * length // bins)
    inside = ((cell >= first) & (cell < end)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)
