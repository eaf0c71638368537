"""AMN (Lee, Kim and Shim 2022): a segmenter that knows the image's tags, and whose scores are the CAMs.

Trained on confident seeds with soft targets, it is active on whole objects and evenly so: one threshold fits all.
arXiv 2203.16045; numbers in brackets are the equations of docs/methods/amn.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import BACKBONES
from models.doors import resolve
from models.errors import ConfigurationError
from models.heads.aspp import AsppV2
from models.losses.cross_entropy import seed_cross_entropy
from models.method import Method, ParameterGroup
from models.structures import Batch, Outputs, StepContext


class Amn(Method):
    """Learns from seeds that leave unsure pixels out (rule "ir_label", preset "amn_seed"), and from tags.

    Args:
        num_classes: foreground classes C; the network answers 1 + C channels.
        backbone: name of a backbone (``models.backbones``).
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8, 16 or 32; the CAMs come at this grid.
        freeze_bn: keep the batch norms on their pretrained statistics.
        frozen_stages: stages that do not learn, counted from the stem.
        dropout: share of the features dropped before the head.
        label_smoothing: share of the target taken from a pixel's label and spread evenly over the C other channels
            (AMN 0.4); at most C/(1+C).
        align_corners: how logits are enlarged to the crop.

    Raises:
        ConfigurationError: label_smoothing out of range.

    Where it differs from the released code: the dilations of the head follow the output stride (theirs are 6 to 24 at
    stride 16); the loss is at the crop's resolution, not at the grid's; ``export_cams`` sums the softmax over views and
    normalises each class, where theirs takes the softmax of the mean logits; AdamW for Adam.

    Source: docs/methods/amn.md; gaviotas/AMN@75c1999c7c1b.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "mobilenet_v2",
        width: float = 1.0,
        output_stride: int = 16,
        freeze_bn: bool = False,
        frozen_stages: int = 0,
        dropout: float = 0.0,
        label_smoothing: float = 0.4,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        most = num_classes / (1 + num_classes)
        if not 0 <= label_smoothing <= most:
            raise ConfigurationError(
                f"amn: label_smoothing must be in [0,{most:.3g}] with {num_classes} classes, found {label_smoothing}."
            )
        self.backbone = resolve(BACKBONES, backbone, "backbone")(
            width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages
        )
        channels = self.backbone.channels
        self.embedding = nn.Linear(num_classes, channels["layer4"])
        self.head = AsppV2(channels, 1 + num_classes, output_stride=output_stride, dropout=dropout)
        self.smoothing = spread_over_all(label_smoothing, 1 + num_classes)
        self.align_corners = align_corners

    @property
    def stride(self) -> int:
        """Pixels between two cells of the maps."""
        stride: int = self.backbone.strides["layer4"]
        return stride

    def tagged_scores(self, image: Tensor, tags: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] at the network's grid, for image [B,3,H,W] in [0,1] and its tags [B,C]."""
        feature = self.backbone(image)["layer4"]
        gate = self.embedding(tags.to(feature.dtype))  # [B,D]
        logits: Tensor = self.head({"layer4": feature * gate[:, :, None, None]})
        return logits

    def forward(self, batch: Batch) -> Outputs:
        """``logits`` [B,1+C,h,w] at the network's grid."""
        return {"logits": self.tagged_scores(batch.image, batch.tags)}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(2) of targets (1), at the resolution of the crop; unlabelled and void pixels do not count."""
        # released: at the grid of the logits
        logits = F.interpolate(
            outputs["logits"].float(), batch.seeds.shape[1:], mode="bilinear", align_corners=self.align_corners
        )
        loss = seed_cross_entropy(logits, batch.seeds, balanced=True, label_smoothing=self.smoothing)
        return {"segmentation": loss}

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """(3), softmax over background and all classes: [B,C,h,w] of the classes, 0 where ``tags`` [B,C] deny them."""
        return self.tagged_scores(image, tags).float().softmax(1)[:, 1:] * tags[:, :, None, None]

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.embedding
        yield self.head

    def parameter_groups(self) -> list[ParameterGroup]:
        """The backbone x1, embedding and head x20, biases like weights (AMN: Adam at 5e-6 and 1e-4)."""
        groups = [
            ParameterGroup("backbone", [p for p in self.backbone.parameters() if p.requires_grad]),
            ParameterGroup("new", [p for module in self.new_modules() for p in module.parameters()], 20.0),
        ]
        return [group for group in groups if group.parameters]


def spread_over_all(share: float, channels: int) -> float:
    """The share spread over all channels that leaves a label ``1 - share`` and each other ``share / (channels - 1)``.

    Source: gaviotas/AMN@75c1999c7c1b:step/train_amn.py (balanced_cross_entropy), which smooths over the others;
    PyTorch smooths over all.
    """
    return share * channels / (channels - 1)
