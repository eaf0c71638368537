"""The head with which DINO and ToCo compare class tokens (Caron et al. 2021)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm


class Projector(nn.Module):
    """Three linear layers with GELU between, to unit length, then a linear layer whose rows have a fixed length.

    Args:
        channels: of a token.
        width: of the two hidden layers (2048).
        bottleneck: of the third (256).
        outputs: of the last (1024).

    Source: rulixiang/ToCo@e13514d:model/model_seg_neg.py (CTCHead).
    """

    def __init__(self, channels: int, width: int = 2048, bottleneck: int = 256, outputs: int = 1024) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(channels, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, bottleneck)
        )
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last = weight_norm(nn.Linear(bottleneck, outputs, bias=False))
        lengths = self.last.parametrizations.weight.original0
        nn.init.ones_(lengths)
        lengths.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B,outputs] of tokens [B,channels]."""
        projected: Tensor = self.last(F.normalize(self.hidden(tokens), dim=1))
        return projected
