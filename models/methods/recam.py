"""ReCAM (Chen et al. 2022): a trained classifier learns on, its classes also told apart by softmax cross-entropy.

A yes/no loss lets the maps of classes that occur together overlap; a softmax over what lies under a map does not.
arXiv 2203.00962; numbers in brackets are the equations of docs/methods/recam.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import BACKBONES
from models.doors import resolve
from models.heads.cam import CamHead, pool
from models.losses.tagged_cross_entropy import tagged_cross_entropy
from models.method import Method
from models.ops.class_features import class_features
from models.structures import Batch, CamView, Outputs, StepContext


class Recam(Method):
    """Learns from tags alone; ``init`` names a trained classifier, whose head it takes over.

    Args:
        num_classes: foreground classes C.
        backbone: name of a backbone (``models.backbones``).
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8, 16 or 32; the CAMs come at this grid.
        freeze_bn: keep the batch norms on their pretrained statistics.
        frozen_stages: stages that do not learn, counted from the stem.
        dropout: share of feature channels dropped before the class convolution.
        pooling: how a class map becomes the image's logit: mean, maximum or log-mean-exp.
        weight: of the softmax cross-entropy (ReCAM 1 on VOC, 0.1 on COCO).

    Source: docs/methods/recam.md (zhaozhengChen/ReCAM:step/train_recam.py).
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
        pooling: Literal["gap", "gmp", "lse"] = "gap",
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.backbone = resolve(BACKBONES, backbone, "backbone")(
            width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages
        )
        self.head = CamHead(self.backbone.channels, num_classes, dropout=dropout)
        self.predictor = nn.Linear(self.backbone.channels["layer4"], num_classes, bias=False)
        nn.init.normal_(self.predictor.weight, std=0.01)
        self.pooling, self.weight = pooling, weight

    @property
    def stride(self) -> int:
        """Pixels between two cells of the maps."""
        stride: int = self.backbone.strides["layer4"]
        return stride

    def forward(self, batch: Batch) -> Outputs:
        """Class ``maps`` [B,C,h,w], ``features`` [B,D,h,w], ``logits`` [B,C] and ``class_logits`` [B,C,C].

        Row c of the last is what the predictor says of the features under the map of class c.
        """
        outputs = self.look(batch.image)
        under_maps = class_features(outputs["maps"].float(), outputs["features"].float())  # (1), [B,C,D]
        logits = pool(outputs["maps"], self.pooling)
        return outputs | {"logits": logits, "class_logits": self.predictor(under_maps)}  # (2)

    def look(self, image: Tensor) -> Outputs:
        """``maps`` [B,C,h,w] and the ``features`` [B,D,h,w] behind them."""
        features = self.backbone(image)
        return {"maps": self.head(features), "features": features["layer4"]}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(4): each class a yes/no question, and (3), among the classes of an image one choice for each."""
        return {
            "classification": F.multilabel_soft_margin_loss(outputs["logits"], batch.tags.float()),
            "class_choice": self.weight * tagged_cross_entropy(outputs["class_logits"], batch.tags),
        }

    def refined(self, features: Tensor) -> Tensor:
        """relu of the maps [B,C,h,w] whose weights are those of the classifier times those of the predictor."""
        weights = self.head.classifier.weight * self.predictor.weight[:, :, None, None]  # (5), [C,D,1,1]
        return F.conv2d(features, weights).float().relu()

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """The only view."""
        maps, features = outputs["maps"].float(), outputs["features"].float()
        return (CamView("classification", 1.0, batch.image, maps, None, self.refined(features), features),)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """The refined maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        return self.refined(self.backbone(image)["layer4"]) * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C] of the classifier, pooled from its maps."""
        return pool(self.look(image)["maps"], self.pooling)

    def new_modules(self) -> Iterator[nn.Module]:
        """The predictor alone: the head is trained already (ReCAM gives backbone and head a tenth of its rate)."""
        yield self.predictor
