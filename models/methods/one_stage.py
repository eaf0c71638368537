"""Single-stage segmentation from tags (Araslanov and Roth 2020): a segmenter that learns from its own refined masks.

Masks are pooled to class scores, so tags teach the network; PAMR lays the masks on the image's edges, and the confident
part of them teaches it again. arXiv 2005.08104; numbers in brackets are the equations of docs/methods/one_stage.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.heads.gated_decoder import GatedDecoder
from models.losses.balanced_mask import balanced_mask_cross_entropy
from models.losses.class_score import class_scores, with_constant_background
from models.online_label_method import OnlineLabelMethod
from models.ops.cut_offs import cut_off_labels, original_labels, tagged_masks
from models.ops.pixel_adaptive import PixelAdaptive
from models.options import (
    Distances,
    InnerShare,
    NonNegative,
    Positive,
    PositiveCount,
    ShareBelowOne,
    StartEpoch,
    Weight,
)
from models.structures import IGNORE, Batch, Outputs, StepContext


class OneStage(OnlineLabelMethod):
    """Learns from tags alone; it localises and segments, both at the grid of the backbone's first layer.

    Args:
        num_classes: foreground classes C; the background's logit is constant.
        head_width: channels of the decoder.
        dropout: in the decoder.
        psi: share of the values that the stochastic gate takes from the shallow feature.
        focal_power, focal_floor: of the penalty on small masks.
        pamr_iterations, pamr_dilations: of the refinement, in cells of the masks' grid.
        cutoff: share of its maximum that a class's mask must exceed to label a pixel.
        background_cutoff: the same of the background's.
        least: what a mask must exceed in any case.
        mask: weight of the masks' loss.
        pretrain: epochs of tags alone before it (5 of 24).
        on_online: options of :class:`models.online_label_method.OnlineLabelMethod`
            (the authors: ``output_stride`` 8, ``freeze_bn`` true).

    Where it differs from the released code: the ASPP's batch norms follow their batches (theirs stay at mean 0 and
    variance 1); pixels of a crop beyond the image are not labelled. Their test averages masks over scales, raises the
    background's to the power 3 and drops classes with scores below 0.1; ``predict_masks`` does neither of the last two.

    Source: docs/methods/one_stage.md; visinf/1-stage-wseg@d905fca:models/stage_net.py.
    """

    grid = "layer1"
    align_corners = True
    starts = {"pretrain": ("mask",)}

    def __init__(
        self,
        num_classes: int,
        *,
        head_width: PositiveCount = 256,
        dropout: ShareBelowOne = 0.5,
        psi: ShareBelowOne = 0.3,
        focal_power: NonNegative = 3.0,
        focal_floor: Positive = 0.01,
        pamr_iterations: PositiveCount = 10,
        pamr_dilations: Distances = (1, 2, 4, 8, 12, 24),
        cutoff: InnerShare = 0.6,
        background_cutoff: InnerShare = 0.7,
        least: ShareBelowOne = 0.2,
        mask: Weight = 1.0,
        pretrain: StartEpoch = 5.0,
        **on_online: Any,
    ) -> None:
        super().__init__(**on_online)
        stride = self.backbone.output_stride
        self.head = GatedDecoder(
            self.backbone.channels, num_classes, output_stride=stride, width=head_width, dropout=dropout, psi=psi
        )
        self.refine = PixelAdaptive("pamr", pamr_iterations, pamr_dilations)
        self.focal = focal_power, focal_floor
        self.cut_offs = cutoff, background_cutoff, least
        self.mask, self.pretrain = mask, pretrain

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w], the background's 1, for image [B,3,H,W] in [0,1]; their softmax are the masks."""
        return with_constant_background(self.head(self.backbone(image)).float())

    def forward(self, batch: Batch) -> Outputs:
        """``logits`` [B,1+C,h,w] at the network's grid."""
        return {"logits": self.scores(batch.image)}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(5): soft margin of the class scores; after ``pretrain`` epochs also the masks' loss on their own labels."""
        logits = outputs["logits"].float()
        scores = class_scores(logits, *self.focal)  # (1) + (2), [B,C]
        parts = {"classification": F.multilabel_soft_margin_loss(scores, batch.tags.float())}  # (3)
        if self.mask and context.epoch >= self.pretrain:
            labels = self.trusted(self.pseudo_labels(logits, batch), logits, context, self.align_corners)
            parts["mask"] = self.mask * balanced_mask_cross_entropy(logits, labels, batch.tags).mean()
        return parts

    @torch.no_grad()
    def pseudo_labels(self, logits: Tensor, batch: Batch) -> Tensor:
        """What the masks of ``logits`` [B,1+C,h,w] are sure of once they are refined: int64 [B,H,W], 254 elsewhere."""
        taken = tagged_masks(logits.softmax(1), batch.tags)  # [B,1+K,h,w], K the most tags of an image
        image = F.interpolate(batch.image, logits.shape[2:], mode="bilinear", align_corners=True)
        refined = self.refine(image, taken.masks) * taken.allowed[:, :, None, None]
        refined = F.interpolate(refined, batch.image.shape[2:], mode="bilinear", align_corners=True)
        labels = original_labels(cut_off_labels(refined, *self.cut_offs), taken.channels)  # (4)
        # released: pixels beyond the image are labelled too
        return labels.where(batch.seeds != IGNORE, IGNORE)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """The masks of the classes, [B,C,h,w], zero for those that ``tags`` [B,C] deny."""
        return self.scores(image).softmax(1)[:, 1:] * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]: the class scores."""
        return class_scores(self.scores(image), *self.focal)

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.head
