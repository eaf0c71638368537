"""Plain CAM: a multi-label classifier whose last convolution is the localiser (Zhou et al. 2016, arXiv 1512.04150).

The baseline of the whole family; with ``freeze_bn`` and ``dropout: 0.5`` it is PSA's first step. Numbers in brackets
are the equations of docs/methods/classifier.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn

from models.backbones import BACKBONES
from models.doors import resolve
from models.heads.cam import CamHead, pool
from models.losses.image_labels import image_label_loss
from models.method import Method
from models.ops.affinity import cosine_affinity
from models.ops.random_walk import DenseLinks
from models.structures import Batch, CamView, Links, Outputs, StepContext


class Classifier(Method):
    """Learns from tags alone.

    Args:
        num_classes: foreground classes C.
        backbone: name of a backbone (``models.backbones``).
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8, 16 or 32; the CAMs come at this grid.
        freeze_bn: keep the batch norms on their pretrained statistics.
        frozen_stages: stages that do not learn, counted from the stem.
        dropout: share of feature channels dropped before the class convolution.
        pooling: how a class map becomes the image's logit: mean, maximum or log-mean-exp.
        labels: "multi", each class a yes/no question; "single", one class an image, told by a softmax (localisation).
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
        labels: Literal["multi", "single"] = "multi",
    ) -> None:
        super().__init__()
        self.backbone = resolve(BACKBONES, backbone, "backbone")(
            width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages
        )
        self.head = CamHead(self.backbone.channels, num_classes, dropout=dropout)
        self.pooling = pooling
        self.labels: Literal["multi", "single"] = labels

    @property
    def stride(self) -> int:
        """Pixels between two cells of the maps."""
        stride: int = self.backbone.strides["layer4"]
        return stride

    def maps(self, image: Tensor) -> Tensor:
        """Class maps A_c(x), [B,C,h,w], not rectified."""
        maps: Tensor = self.head(self.backbone(image))
        return maps

    def look(self, image: Tensor) -> Outputs:
        """``maps`` [B,C,h,w] and the ``features`` [B,D,h,w] behind them."""
        features = self.backbone(image)
        return {"maps": self.head(features), "features": features["layer4"]}

    def forward(self, batch: Batch) -> Outputs:
        """``maps``, ``features``, and the image-level ``logits`` [B,C] pooled from the maps."""
        outputs = self.look(batch.image)
        return outputs | {"logits": pool(outputs["maps"], self.pooling)}  # (1)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(2); with ``labels: single`` cross-entropy (DataError for an image without exactly one tag)."""
        return {"classification": image_label_loss(outputs["logits"], batch.tags, self.labels, batch.ids)}

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """The only view."""
        maps = outputs["maps"].float()
        return (CamView("classification", 1.0, batch.image, maps, None, maps.relu(), outputs["features"].float()),)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """(3), relu(A_c), [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        return self.maps(image).float().relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C], pooled from the maps."""
        return pool(self.maps(image), self.pooling)

    def links(self, image: Tensor) -> Links:
        """Cosines of the last features of an image [1,3,H,W] and its mirror, between all cells (walk preset "spml").

        No paper has a walk over this network; SPML's, which needs nothing but features, is lent to it.
        """
        plain, mirrored = (self.backbone(view)["layer4"].float() for view in (image, image.flip(-1)))
        affinity = (cosine_affinity(plain) + cosine_affinity(mirrored.flip(-1))) / 2
        return DenseLinks(affinity[0].cpu().numpy(), (plain.shape[2], plain.shape[3]), self.stride)

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.head
