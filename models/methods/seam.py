"""SEAM (Wang et al. 2020): a siamese classifier whose CAMs must follow the scale of the image, refined by correlation.

Its refined maps are the seeds; PPC and HFPL build on it. arXiv 2004.04581; numbers in brackets are the equations of
docs/methods/seam.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import BACKBONES
from models.doors import resolve
from models.heads.cam import CamHead, pool
from models.heads.correlation import CorrelationHead
from models.losses.seam import View, comparable_views, equivariance_losses, siamese_classification
from models.method import Method
from models.ops.pixel_correlation import correlation_seed, pixel_correlation
from models.ops.siamese import siamese_cam_views
from models.structures import Batch, CamView, Outputs, StepContext


class Seam(Method):
    """Learns from tags alone.

    Args:
        num_classes: foreground classes C; the network has a map for the background too, which learns nothing.
        backbone: name of a backbone (``models.backbones``).
        width: its channel multiplier; published weights need 1.0.
        output_stride: 8, 16 or 32 (SEAM 8); the CAMs come at this grid.
        freeze_bn: keep the batch norms on their pretrained statistics (SEAM: true).
        frozen_stages: stages that do not learn, counted from the stem.
        dropout: share of feature channels dropped before the class convolution (SEAM 0.5).
        correlation_width: channels of the first level that pixel correlation compares (SEAM 64).
        second_scale: size of the second view as a share of the first (SEAM 0.3).
        second_size: side of the second view in pixels instead (PPC 128); 0 takes the share.
        hardest: share of the entries that the cross term keeps (SEAM 0.2).
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
        correlation_width: int = 64,
        second_scale: float = 0.3,
        second_size: int = 0,
        hardest: float = 0.2,
    ) -> None:
        super().__init__()
        self.backbone = resolve(BACKBONES, backbone, "backbone")(
            width=width, output_stride=output_stride, freeze_bn=freeze_bn, frozen_stages=frozen_stages
        )
        self.head = CamHead(self.backbone.channels, 1 + num_classes, dropout=dropout)
        self.correlation = CorrelationHead(self.backbone.channels, width=correlation_width)
        self.second_scale, self.second_size, self.hardest = second_scale, second_size, hardest

    @property
    def stride(self) -> int:
        """Pixels between two cells of the maps."""
        stride: int = self.backbone.strides["layer4"]
        return stride

    def look(self, image: Tensor) -> Outputs:
        """``logits`` and ``refined`` [B,1+C,h,w] at the network's grid, and the ``features`` behind them [B,D,h,w]."""
        features = self.backbone(image)
        logits: Tensor = self.head(features)  # [B,1+C,h,w]
        normalised = (image - self.backbone.mean) / self.backbone.std
        compared = self.correlation(normalised, features).float()  # F, [B,3*width,h,w]
        with torch.autocast(image.device.type, enabled=False):  # cosines of half precision blur the affinity
            refined = pixel_correlation(correlation_seed(logits.float()), compared)  # (1), (2)
        return {"logits": logits.float(), "refined": refined, "features": features["layer4"]}

    def second_view(self, image: Tensor) -> Tensor:
        """The smaller copy of a batch of images."""
        if self.second_size:
            size = [self.second_size, self.second_size]
        else:
            size = [max(1, int(length * self.second_scale)) for length in image.shape[2:]]
        return F.interpolate(image, size, mode="bilinear", align_corners=True)

    def forward(self, batch: Batch) -> Outputs:
        """``logits``, ``refined`` and ``features`` of both views, those of the second ending in ``_2``."""
        second = self.look(self.second_view(batch.image))
        return self.look(batch.image) | {f"{name}_2": value for name, value in second.items()}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(7): classification and min-pooling of both views, equivariance of the plain (ER) and refined (ECR) maps."""
        sizes = {"": batch.image.shape[2:], "_2": self.second_view(batch.image[:1]).shape[2:]}
        first, second = (
            View.of(outputs[f"logits{suffix}"], outputs[f"refined{suffix}"], batch.tags, size)
            for suffix, size in sizes.items()
        )
        equivariance = equivariance_losses(*comparable_views(first, second, batch.tags), self.hardest)
        return siamese_classification(first, second, batch.tags) | {  # (3), (4)
            "equivariance": equivariance.plain,  # (5)
            "cross_equivariance": equivariance.cross,  # (6)
        }

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """The image and its smaller copy; half of the classification each."""
        return siamese_cam_views(outputs, batch.image, self.second_view(batch.image))

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """Refined foreground maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        return self.look(image)["refined"][:, 1:].relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]: means of the plain class maps, at the network's grid."""
        return pool(self.head(self.backbone(image))[:, 1:], "gap")

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.head
        yield self.correlation
