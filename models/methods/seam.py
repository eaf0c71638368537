"""SEAM (Wang et al. 2020): a siamese classifier whose CAMs must follow the scale of the image, refined by correlation.

Its refined maps are the seeds; PPC and HFPL build on it. arXiv 2004.04581; numbers in brackets are the equations of
docs/methods/seam.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.heads.cam import CamHead, pool
from models.heads.correlation import CorrelationHead
from models.losses.seam import View, comparable_views, equivariance_losses, siamese_classification
from models.ops.pixel_correlation import correlation_seed, pixel_correlation
from models.ops.siamese import siamese_cam_views
from models.ops.tagged_pairs import TaggedPairs
from models.options import Count, Exponent, Positive, PositiveCount, ShareAboveZero, ShareBelowOne
from models.structures import Batch, CamView, Outputs, StepContext


class Seam(BackboneMethod):
    """Learns from tags alone.

    Args:
        num_classes: foreground classes C; the network has a map for the background too, which learns nothing.
        dropout: share of feature channels dropped before the class convolution (SEAM 0.5).
        correlation_width: channels of the first level that pixel correlation compares (SEAM 64).
        affinity_power: exponent of its cosines (SEAM 1): above 1 scores spread to fewer cells, those that look most
            alike.
        second_scale: size of the second view as a share of the first (SEAM 0.3).
        second_size: side of the second view in pixels instead (PPC 128); 0 takes the share.
        hardest: share of the entries that the cross term keeps (SEAM 0.2).
        counted_classes: classes that the means of both equivariance terms count; 0 counts all C, as SEAM does, and 20
            gives them the strength that they have on VOC, whatever C is (``models.losses.class_means``).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`
            (SEAM: ``output_stride`` 8, ``freeze_bn`` true).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        dropout: ShareBelowOne = 0.0,
        correlation_width: PositiveCount = 64,
        affinity_power: Exponent = 1.0,
        second_scale: Positive = 0.3,
        second_size: Count = 0,
        hardest: ShareAboveZero = 0.2,
        counted_classes: Count = 0,
        **on_backbone: Any,
    ) -> None:
        super().__init__(**on_backbone)
        self.head = CamHead(self.backbone.channels, 1 + num_classes, dropout=dropout)
        self.correlation = CorrelationHead(self.backbone.channels, width=correlation_width)
        self.second_scale, self.second_size, self.hardest = second_scale, second_size, hardest
        self.counted_classes, self.affinity_power = counted_classes, affinity_power

    def look(self, image: Tensor) -> Outputs:
        """``logits`` and ``refined`` [B,1+C,h,w] at the network's grid, and the ``features`` behind them [B,D,h,w]."""
        features = self.backbone(image)
        logits: Tensor = self.head(features)  # [B,1+C,h,w]
        normalised = (image - self.backbone.mean) / self.backbone.std
        compared = self.correlation(normalised, features).float()  # F, [B,3*width,h,w]
        with torch.autocast(image.device.type, enabled=False):  # cosines of half precision blur the affinity
            seed = correlation_seed(logits.float())  # (1)
            refined = pixel_correlation(seed, compared, power=self.affinity_power)  # (2)
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
        pairs = TaggedPairs.of(batch.tags)
        first, second = (
            View.of(outputs[f"logits{suffix}"], outputs[f"refined{suffix}"], pairs, size)
            for suffix, size in sizes.items()
        )
        views = comparable_views(first, second, batch.tags)
        equivariance = equivariance_losses(*views, self.hardest, self.counted_classes)
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
