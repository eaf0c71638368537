"""AMN (Lee, Kim and Shim 2022): a segmenter that knows the image's tags, and whose scores are the CAMs.

Trained on confident seeds with soft targets, it is active on whole objects and evenly so: one threshold fits all.
arXiv 2203.16045; numbers in brackets are the equations of docs/methods/amn.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.errors import ConfigurationError
from models.heads.aspp import AsppV2
from models.losses.cross_entropy import seed_cross_entropy
from models.method import ParameterGroup
from models.options import Share, ShareBelowOne
from models.structures import Batch, Outputs, StepContext


class Amn(BackboneMethod):
    """Learns from seeds that leave unsure pixels out (rule "ir_label", preset "amn_seed"), and from tags.

    Args:
        num_classes: foreground classes C; the network answers 1 + C channels.
        dropout: share of the features dropped before the head.
        label_smoothing: share of the target taken from a pixel's label and spread evenly over the C other channels
            (AMN 0.4); at most C/(1+C).
        align_corners: how logits are enlarged to the crop.
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.

    Raises:
        ConfigurationError: label_smoothing out of range.

    Where it differs from the released code: the dilations of the head follow the output stride (theirs are 6 to 24 at
    stride 16); the loss is at the crop's resolution, not at the grid's; ``export_cams`` sums the softmax over views and
    normalises each class, where theirs takes the softmax of the mean logits; AdamW for Adam.

    Source: docs/methods/amn.md; gaviotas/AMN@75c1999c7c1b.
    """

    learns_from_pixels = True

    def __init__(
        self,
        num_classes: int,
        *,
        dropout: ShareBelowOne = 0.0,
        label_smoothing: Share = 0.4,
        align_corners: bool = False,
        **on_backbone: Any,
    ) -> None:
        most = num_classes / (1 + num_classes)
        if not 0 <= label_smoothing <= most:
            raise ConfigurationError(
                f"amn: label_smoothing must be in [0,{most:.3g}] with {num_classes} classes, found {label_smoothing}."
            )
        super().__init__(**on_backbone)
        channels = self.backbone.channels
        self.embedding = nn.Linear(num_classes, channels["layer4"])
        self.head = AsppV2(channels, 1 + num_classes, output_stride=self.backbone.output_stride, dropout=dropout)
        self.smoothing = spread_over_all(label_smoothing, 1 + num_classes)
        self.align_corners = align_corners

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
