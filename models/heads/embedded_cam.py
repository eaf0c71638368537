"""Class activation maps that read a feature of their own, which other losses can shape too."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class EmbeddedCamHead(nn.Module):
    """Two 1x1 convolutions without bias, Xavier: to ``width`` channels with a ReLU, and from these to the maps.

    Args:
        channels: the backbone's channel counts; only ``layer4`` is read.
        outputs: number of maps.
        width: channels of the embedding.
        dropout: probability with which whole feature channels are dropped before the embedding in training.
    """

    def __init__(self, channels: Mapping[str, int], outputs: int, *, width: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.embedding = nn.Conv2d(channels["layer4"], width, kernel_size=1, bias=False)
        self.classifier = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        for layer in (self.embedding, self.classifier):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The embedding [B,width,h,w], not negative, and the maps [B,outputs,h,w], not rectified."""
        embedded = self.embedding(self.dropout(features["layer4"])).relu()
        return embedded, self.classifier(embedded)
