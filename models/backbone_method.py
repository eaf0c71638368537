"""What pages on one backbone have in common: its options, and the cells that their maps have."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from models.backbones.build import build_backbone
from models.errors import ConfigurationError
from models.method import Method
from models.options import Flag, FrozenStages, OutputStride, Positive


class BackboneMethod(Method):
    """A page on one backbone.

    A page takes these options as ``**on_backbone`` and hands them on; one whose default differs declares it anew.

    Args:
        backbone: name of a backbone (``models.backbones``); ``timm/NAME`` for any network of timm.
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8, 16 or 32 (vision transformers: the side of their patch): pixels between two cells of its last
            features.
        freeze_bn: keep its batch norms on their pretrained statistics.
        frozen_stages: its stages that do not learn, counted from the stem.
        frozen: the backbone does not learn at all: batch norms keep their statistics, no graph is kept, and a GPU with
            bfloat16 computes its features in that.

    Raises:
        ConfigurationError: an unknown backbone, or one without the attention that the page reads.

    Attributes:
        grid: the layer of the backbone whose cells the page's maps have.
    """

    grid: ClassVar[str] = "layer4"

    def __init__(
        self,
        *,
        backbone: str = "mobilenet_v2",
        width: Positive = 1.0,
        output_stride: OutputStride = 16,
        freeze_bn: bool = False,
        frozen_stages: FrozenStages = 0,
        frozen: Flag = False,
    ) -> None:
        super().__init__()
        self.backbone: Any = build_backbone(
            backbone, width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages
        )
        if frozen:
            self.backbone.hold()
        if self.reads_attention and not hasattr(self.backbone, "with_attention"):
            raise ConfigurationError(
                f"{type(self).__name__}: backbone '{backbone}' has no attention. Remedy: one that has, such as mit_b1."
            )
        if self.reads_tokens and not getattr(self.backbone, "prefix", 0):
            raise ConfigurationError(
                f"{type(self).__name__}: expected a vision transformer with a class token, found backbone "
                f"'{backbone}'. Remedy: such as timm/vit_base_patch16_224."
            )

    @property
    def stride(self) -> int:
        """Pixels of the image between two cells of the page's maps."""
        stride: int = self.backbone.strides[self.grid]
        return stride

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Maps [B,D,h,w] of the backbone by the name of their layer, for image [B,3,H,W] in [0,1]."""
        features: dict[str, Tensor] = self.backbone(image)
        return features
