"""What ToCo and DuPL put on a vision transformer: class maps of two depths, and a decoder."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from models.heads.cam import CamHead
from models.ops.initialise import initialise
from models.ops.tokens import TokenMaps
from models.structures import Outputs

DILATION = 5


class TokenHeads(nn.Module):
    """Class maps of the last and of an earlier block, the image's logits of each, and LargeFOV without batch norm.

    Args:
        channels: of the tokens.
        num_classes: foreground classes C.
        width: channels of the decoder.

    Source: rulixiang/ToCo@e13514d:model/model_seg_neg.py, model/decoder/conv_head.py.
    """

    def __init__(self, channels: int, num_classes: int, width: int = 512) -> None:
        super().__init__()
        self.cam, self.early = (CamHead({"layer4": channels}, num_classes) for _ in range(2))
        self.decoder = PlainFov({"layer4": channels}, 1 + num_classes, width=width)

    def forward(self, seen: TokenMaps) -> Outputs:
        """``maps``, ``maps_early`` [B,C,h,w], their ``logits``, ``logits_early`` [B,C], and ``scores`` [B,1+C,h,w]."""
        maps = self.class_maps(seen)
        logits = strongest(self.cam, seen.patches), strongest(self.early, seen.early)
        return {
            **dict(zip(("maps", "maps_early"), maps, strict=True)),
            **dict(zip(("logits", "logits_early"), logits, strict=True)),
            "scores": self.decoder({"layer4": seen.patches}),
        }

    def class_maps(self, seen: TokenMaps) -> tuple[Tensor, Tensor]:
        """[B,C,h,w] of the last and of the earlier block, not rectified."""
        return self.cam({"layer4": seen.patches}), self.early({"layer4": seen.early})


def strongest(head: CamHead, features: Tensor) -> Tensor:
    """Image-level logits [B,C] of the largest value of each channel of features [B,D,h,w], wherever it is."""
    logits: Tensor = head({"layer4": features.amax((2, 3), keepdim=True)})[:, :, 0, 0].float()
    return logits


class PlainFov(nn.Module):
    """Two 3x3 convolutions of dilation 5, a ReLU after each, and a 1x1 classifier, all without bias.

    Args:
        channels: the backbone's channel counts; only ``layer4`` is read.
        outputs: 1 + C.
        width: hidden channels.
    """

    def __init__(self, channels: Mapping[str, int], outputs: int, *, width: int = 512) -> None:
        super().__init__()
        self.conv6, self.conv7 = (
            nn.Conv2d(inputs, width, kernel_size=3, padding=DILATION, dilation=DILATION, bias=False)
            for inputs in (channels["layer4"], width)
        )
        self.conv8 = nn.Conv2d(width, outputs, kernel_size=1, bias=False)
        initialise(self)
        nn.init.normal_(self.conv8.weight, std=0.01)

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Logits [B,outputs,h,w]."""
        logits: Tensor = self.conv8(self.conv7(self.conv6(features["layer4"]).relu()).relu())
        return logits
