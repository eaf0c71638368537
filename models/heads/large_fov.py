"""DeepLab-v1 LargeFOV head (Chen et al. 2015), as the SEAM family trains it on its pseudo-masks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from models.ops.initialise import initialise


class LargeFov(nn.Module):
    """3x3 dilated convolution, 1x1 convolution, dropout, 1x1 classifier; batch norm and ReLU after the first two.

    Args:
        channels: the backbone's channel counts; only ``layer4`` is read.
        outputs: 1 + C.
        output_stride: of the backbone; the dilation 12 of stride 8 shrinks with it (6 at stride 16).
        width: hidden channels (the SEAM family has 512).
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        outputs: int,
        *,
        output_stride: int = 16,
        width: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        rate = 12 * 8 // output_stride
        self.conv6 = nn.Conv2d(channels["layer4"], width, kernel_size=3, padding=rate, dilation=rate, bias=False)
        self.bn6 = nn.BatchNorm2d(width)
        self.conv7 = nn.Conv2d(width, width, kernel_size=1, bias=False)
        self.bn7 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(width, outputs, kernel_size=1)
        initialise(self)
        nn.init.normal_(self.classifier.weight, std=0.01)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h,w]."""
        x = self.relu(self.bn6(self.conv6(features["layer4"])))
        x = self.relu(self.bn7(self.conv7(x)))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits
