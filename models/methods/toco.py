"""ToCo (Ru et al. 2023): single-stage segmentation by a vision transformer whose tokens are kept apart.

An earlier block, whose tokens are not yet smoothed, says which of the last block's are of one class (PTC); the class
tokens of small crops learn whether there is an object (CTC). Labels of its own CAMs teach a decoder.
arXiv 2303.01267; numbers in brackets are the equations of docs/methods/toco.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.ema import Follower
from models.heads.projector import Projector
from models.heads.token_heads import TokenHeads, strongest
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dense_energy import dense_energy
from models.losses.token_contrast import class_token_contrast, patch_token_contrast
from models.ops.local_crops import certainty_levels, corner_places, crops_at, draw_corners, with_objects
from models.ops.online_labels import grid_labels, two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.random_views import random_parts, recoloured
from models.ops.tokens import token_maps
from models.ops.view_cams import own_cams
from models.options import Positive, PositiveCount, Scales, ShareBelowOne, StartEpoch, Weight
from models.structures import IGNORE, Batch, Outputs, StepContext


class Toco(BackboneMethod):
    """Learns from tags alone; it localises and segments.

    Args:
        num_classes: foreground classes C.
        backbone: a plain vision transformer with a class token (the authors ViT-B/16 and DeiT-B/16).
        head_width: channels of the decoder (512).
        early: which block has the class maps that label tokens, counted from the end (3).
        cam_scales: of the image, whose CAMs, with those of mirror images, become labels.
        high, low: scores above which a class, and up to which background is sure (.7, .25).
        patch_contrast: weight of PTC (0.2).
        class_contrast: weight of CTC (0.5); 0: no projector, no crops.
        crops: of an image (8).
        crop_side: pixels of one (96), at most half the image's.
        temperature: of CTC (0.5).
        momentum: of the projector that teaches, after each step (0.9).
        segmentation: weight of the decoder's loss (0.1).
        energy: weight of the dense-energy loss (the authors 0.05, for a filter that returns half of the sum).
        pretrain: epochs before these two (2,000 of 20,000 steps).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.

    Raises:
        ConfigurationError: a backbone that is no vision transformer.

    Source: rulixiang/ToCo@e13514d:scripts/dist_train_voc_seg_neg.py, model/model_seg_neg.py.
    """

    reads_tokens = True
    switches = {"scores": "segmentation"}
    bands = (("low", "high"),)

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "timm/vit_base_patch16_224",
        head_width: PositiveCount = 512,
        early: PositiveCount = 3,
        cam_scales: Scales = (1.0, 0.5, 1.5),
        high: ShareBelowOne = 0.7,
        low: ShareBelowOne = 0.25,
        patch_contrast: Weight = 0.2,
        class_contrast: Weight = 0.5,
        crops: PositiveCount = 8,
        crop_side: PositiveCount = 96,
        temperature: Positive = 0.5,
        momentum: ShareBelowOne = 0.9,
        segmentation: Weight = 0.1,
        energy: Weight = 0.025,
        pretrain: StartEpoch = 1.0,
        **on_backbone: Any,
    ) -> None:
        super().__init__(backbone=backbone, **on_backbone)
        channels = self.backbone.channels["layer4"]
        self.heads = TokenHeads(channels, num_classes, head_width)
        self.projector = Projector(channels) if class_contrast else None
        self.teacher = Follower(self.projector) if self.projector is not None else None
        self.early, self.cam_scales = early, tuple(cam_scales)
        self.high, self.low, self.temperature, self.momentum = high, low, temperature, momentum
        self.patch_contrast, self.class_contrast = patch_contrast, class_contrast
        self.crops, self.crop_side = crops, crop_side
        self.segmentation, self.energy, self.pretrain = segmentation, energy, pretrain
        self.refine = PixelAdaptive("par")

    def look(self, image: Tensor) -> Outputs:
        """``maps`` and ``maps_early`` [B,C,h,w], ``logits`` and ``logits_early`` [B,C], ``scores`` [B,1+C,h,w] of the
        decoder, and the patch tokens as ``features`` [B,D,h,w].
        """
        seen = token_maps(self.backbone, image, self.early)
        outputs: Outputs = self.heads(seen)
        return outputs | {"features": seen.patches}

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`, the page's own CAMs ``cams`` and ``cams_early`` [B,C,H,W] of scales and mirror images,
        and what CTC compares: ``student`` [V*B,d], ``teacher`` [2*B,d], ``positive`` bool [B,V].
        """
        outputs = self.look(batch.image)
        outputs["cams"], outputs["cams_early"] = own_cams(self._class_maps, batch.image, batch.tags, self.cam_scales)
        return outputs | self._class_tokens(batch, outputs["cams_early"])

    def _class_maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads.class_maps(token_maps(self.backbone, image, self.early))

    def _class_tokens(self, batch: Batch, cams: Tensor) -> Outputs:
        """Projected class tokens of two views of each image, and of crops around what is unsure or background."""
        if self.projector is None or self.teacher is None:
            return {}
        image, count = batch.image, len(batch.image)
        levels, side = certainty_levels(cams, batch.tags, self.high, self.low), min(image.shape[2:]) // 2
        side_of_crops = min(self.crop_side, side)
        rows, columns = corner_places((image.shape[2], image.shape[3]), side_of_crops)
        corners = draw_corners(levels, side_of_crops, self.crops, self._draws(image, rows * columns))
        views = [random_parts(image, side, self._draws(image, 4)) for _ in range(2)]
        crops = crops_at(image, corners, side_of_crops).flatten(0, 1)
        changed = [recoloured(view, self._draws(view, 3)) for view in (torch.cat(views), crops)]
        tokens = torch.cat([token_maps(self.backbone, view).image for view in changed])
        return {
            "student": self.projector(tokens),
            "teacher": self.teacher.network(tokens[: 2 * count].detach()),
            "positive": F.pad(with_objects(levels, corners, side_of_crops), (2, 0), value=True),
        }

    def _draws(self, image: Tensor, each: int) -> Tensor:
        """Random [B,each] in training; one half for everything in evaluation."""
        shape = len(image), each
        return torch.rand(shape, device=image.device) if self.training else image.new_full(shape, 0.5)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(5): L = L_cls + L_early + patch_contrast L_ptc + class_contrast L_ctc + segmentation L_seg + energy L_reg;
        before ``pretrain`` the last two are 0.
        """
        tags, inside = batch.tags.float(), batch.seeds != IGNORE
        cells = grid_labels(outputs["cams_early"], outputs["features"], batch.tags, inside, self.high, self.low)
        patches = patch_token_contrast(outputs["features"].float(), cells)  # (2)
        parts = {
            "classification": F.multilabel_soft_margin_loss(outputs["logits"], tags),  # (1)
            "early_classification": F.multilabel_soft_margin_loss(outputs["logits_early"], tags),
            "patch_contrast": self.patch_contrast * patches,
        }
        if "student" in outputs:
            projected = outputs["student"].float(), outputs["teacher"].float()
            classes = class_token_contrast(*projected, outputs["positive"], self.temperature)  # (3)
            parts["class_contrast"] = self.class_contrast * classes
        return parts | self._of_decoder(outputs, batch, inside, context)

    def _of_decoder(self, outputs: Outputs, batch: Batch, inside: Tensor, context: StepContext) -> dict[str, Tensor]:
        if context.epoch < self.pretrain:
            silent = 0 * outputs["scores"].float().sum()
            return dict.fromkeys(("segmentation", "energy") if self.energy else ("segmentation",), silent)
        scores = F.interpolate(outputs["scores"].float(), batch.seeds.shape[1:], mode="bilinear", align_corners=False)
        labels = two_threshold_labels(
            outputs["cams"], batch.image, batch.tags, inside, self.refine, self.high, self.low
        )
        parts = {"segmentation": self.segmentation * seed_cross_entropy(scores, labels, balanced=True)}
        if self.energy:
            parts["energy"] = self.energy * dense_energy(scores, batch.image, labels, inside)  # (4)
        return parts

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """relu of the last block's class maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        return self._class_maps(image)[0].float().relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]."""
        return strongest(self.heads.cam, token_maps(self.backbone, image).patches)

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] of the decoder."""
        logits: Tensor = self.heads.decoder({"layer4": token_maps(self.backbone, image).patches})
        return logits

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.heads
        if self.projector is not None:
            yield self.projector

    def begin(self) -> None:
        """The teacher starts as the projector."""
        if self.teacher is not None and self.projector is not None:
            self.teacher.start(self.projector)

    def after_step(self, context: StepContext) -> None:
        if self.teacher is not None and self.projector is not None:
            self.teacher.follow(self.projector, self.momentum)
