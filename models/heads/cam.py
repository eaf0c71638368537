"""Class activation maps as a convolution (Zhou et al. 2016) and the poolings that turn them into scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn


class CamHead(nn.Module):
    """A 1x1 convolution without bias on the last feature: its maps are the CAMs, their mean the image's logits.

    Averaging before or after a bias-free 1x1 convolution is the same, so localising costs no second pass.

    Args:
        channels: the backbone's channel counts; only ``layer4`` is read.
        outputs: number of maps.
        output_stride, width: not used; they are part of every head's signature.
        dropout: probability with which whole feature channels are dropped in training (PSA: 0.5).
    """

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
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels["layer4"], outputs, kernel_size=1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, features: Mapping[str, Tensor], cut_gradient: bool = False) -> Tensor:
        """Maps [B,outputs,h,w], not rectified; ``cut_gradient`` lets only the convolution learn from them."""
        feature = features["layer4"].detach() if cut_gradient else features["layer4"]
        maps: Tensor = self.classifier(self.dropout(feature))
        return maps


def pool(maps: Tensor, kind: str) -> Tensor:
    """Maps [B,C,h,w] -> image-level logits [B,C].

    Args:
        kind: "gap" mean; "gmp" maximum; "lse" log-mean-exp, between the two (Pinheiro & Collobert 2015, eq. 5).

    Raises:
        ValueError: another kind.
    """
    flat = maps.flatten(2).float()
    if kind == "gap":
        return flat.mean(2)
    if kind == "gmp":
        return flat.amax(2)
    if kind == "lse":
        return flat.logsumexp(2) - math.log(flat.shape[2])
    raise ValueError(f"Unknown pooling '{kind}'. Valid: gap, gmp, lse.")
