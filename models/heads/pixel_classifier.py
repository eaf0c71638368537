"""A small classifier of pixel embeddings (SPML)."""

from __future__ import annotations

from torch import Tensor, nn

from models.ops.initialise import initialise


class PixelClassifier(nn.Module):
    """3x3 convolution to twice the channels, batch norm, ReLU, dropout, 1x1 convolution.

    Args:
        channels: of the embedding.
        outputs: 1 + C.
        dropout: SPML 0.75 beside the embedding's own training, 0.65 on its own.

    Source: twke18/SPML@0800afd:spml/models/predictions/softmax_classifier.py.
    """

    def __init__(self, channels: int, outputs: int, *, dropout: float = 0.75) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.classifier = nn.Conv2d(2 * channels, outputs, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits [B,outputs,h,w] of embeddings [B,channels,h,w]."""
        logits: Tensor = self.classifier(self.hidden(embeddings))
        return logits
