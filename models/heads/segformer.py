"""SegFormer's decoder (Xie et al. 2021): every level projected, enlarged to the finest, mixed by a 1x1 convolution."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.heads.aspp import conv_block
from models.ops.initialise import initialise

LEVELS = ("layer1", "layer2", "layer3", "layer4")


class SegFormerHead(nn.Module):
    """All levels at the grid of ``layer1``.

    Args:
        channels: the backbone's channel counts; ``layer1`` to ``layer4`` are read.
        outputs: 1 + C.
        output_stride: not used; it is part of every head's signature.
        width: channels of each projection (SegFormer and AFA 256).
        dropout: whole channels dropped before the classifier (0.1).

    Source: rulixiang/afa@adcfa29:wetr/segformer_head.py.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({name: nn.Conv2d(channels[name], width, 1) for name in LEVELS})
        self.mix = conv_block(len(LEVELS) * width, width, 1)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, outputs, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h1,w1]."""
        size = features["layer1"].shape[2:]
        levels = [
            F.interpolate(self.projections[name](features[name]), size, mode="bilinear", align_corners=False)
            for name in reversed(LEVELS)
        ]
        logits: Tensor = self.classifier(self.dropout(self.mix(torch.cat(levels, 1))))
        return logits
