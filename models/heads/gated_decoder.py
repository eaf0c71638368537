"""Decoder of single-stage segmentation (Araslanov and Roth 2020): shallow features that know what the deep ones saw."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.heads.aspp import LOW_LEVEL_WIDTH, AsppV3, conv_block
from models.ops.initialise import initialise

LAST_DROPOUT = 0.1


class GlobalCueInjection(nn.Module):
    """Scales and shifts normalised shallow features by the deep features' spatial maximum (GCI).

    Args:
        shallow: channels of the shallow feature.
        width: channels of the deep feature, and of the answer.
    """

    def __init__(self, shallow: int, width: int) -> None:
        super().__init__()
        self.cue = conv_block(width, 2 * width, 1)
        self.project = nn.Conv2d(shallow, width, kernel_size=1, bias=False)
        self.normalise = nn.BatchNorm2d(width, affine=False)
        self.mix = conv_block(width, width, 1)
        initialise(self)

    def forward(self, shallow: Tensor, deep: Tensor) -> Tensor:
        """[B,width,h,w] of [B,c,h,w] and the deep [B,width,h2,w2]."""
        scale, shift = self.cue(deep).amax((2, 3), keepdim=True).chunk(2, 1)
        injected = self.normalise(self.project(shallow)) * (1 + scale) + shift
        mixed: Tensor = self.mix(injected.relu())
        return mixed


class StochasticGate(nn.Module):
    """Takes each value from the deep or, with probability ``psi``, from the shallow feature (SG).

    In training the deep value is shifted and scaled so that the mean over draws is the deep feature; in evaluation
    the answer is ``(1 - psi) deep + psi shallow``.

    Args:
        psi: in [0,1).
    """

    def __init__(self, psi: float = 0.3) -> None:
        super().__init__()
        self.psi = psi

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """A mixture of two features of one shape; draws come from torch's global generator, as dropout's do."""
        if not self.training:
            return (1 - self.psi) * deep + self.psi * shallow
        taken = torch.rand(deep.shape, device=deep.device) < self.psi
        return shallow.where(taken, (deep - self.psi * shallow) / (1 - self.psi))


class GatedDecoder(AsppV3):
    """ASPP, a v3+ decoder step, then ``layer1`` with a global cue, mixed by a stochastic gate, and two convolutions.

    Args:
        channels: the backbone's channel counts; ``layer1`` and ``layer4`` are read.
        outputs: number of maps.
        output_stride: of the backbone; the ASPP's rates 12, 24, 36 of stride 8 shrink with it.
        width: channels of every step (published 256).
        dropout: after the ASPP and after the first of the last two convolutions; after the second at most 0.1.
        psi: of the gate.

    Source: visinf/1-stage-wseg@d905fca:models/stage_net.py, models/mods/gci.py, models/mods/sg.py.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 256,
        dropout: float = 0.5,
        psi: float = 0.3,
    ) -> None:
        super().__init__(channels, outputs, output_stride=output_stride, width=width, dropout=dropout)
        self.low_level = conv_block(channels["layer1"], LOW_LEVEL_WIDTH, 1)
        self.merge = conv_block(width + LOW_LEVEL_WIDTH, width, 3)
        self.inject = GlobalCueInjection(channels["layer1"], width)
        self.gate = StochasticGate(psi)
        last = nn.Dropout(min(dropout, LAST_DROPOUT))
        self.decoder = nn.Sequential(
            conv_block(width, width, 3), nn.Dropout(dropout), conv_block(width, width, 3), last
        )
        for part in (self.low_level, self.merge, self.decoder):
            initialise(part)
        nn.init.kaiming_normal_(self.classifier.weight)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Maps [B,outputs,h1,w1] at the grid of ``layer1``."""
        low = self.low_level(features["layer1"])
        high = F.interpolate(self.encode(features["layer4"]), low.shape[2:], mode="bilinear", align_corners=True)
        deep = self.merge(torch.cat([high, low], 1))
        gated = self.gate(deep, self.inject(features["layer1"], deep))
        maps: Tensor = self.classifier(self.decoder(gated))
        return maps
