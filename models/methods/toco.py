"""ToCo (Ru et al. 2023): single-stage segmentation by a vision transformer whose tokens are kept apart.

An earlier block, whose tokens are not yet smoothed, says which of the last block's are of one class (PTC); the class
tokens of small crops learn whether there is an object (CTC). Labels of its own CAMs teach a decoder.
arXiv 2303.01267; numbers in brackets are the equations of docs/methods/toco.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ema import Follower
from models.heads.projector import Projector
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dense_energy import dense_energy
from models.losses.token_contrast import class_token_contrast
from models.ops.local_crops import certainty_levels, corner_places, crops_at, draw_corners, with_objects
from models.ops.online_labels import two_threshold_labels
from models.ops.random_views import random_parts, recoloured
from models.ops.tokens import token_maps
from models.ops.view_cams import own_cams
from models.options import Positive, PositiveCount, ShareBelowOne, Weight
from models.structures import IGNORE, Batch, Outputs, StepContext
from models.token_method import TokenMethod


class Toco(TokenMethod):
    """Learns from tags alone; it localises and segments.

    Args:
        num_classes: foreground classes C.
        class_contrast: weight of CTC (0.5); 0: no projector, no crops.
        crops: of an image (8).
        crop_side: pixels of one (96), at most half the image's.
        temperature: of CTC (0.5).
        momentum: of the projector that teaches, after each step (0.9).
        segmentation: weight of the decoder's loss (0.1).
        energy: weight of the dense-energy loss (the authors 0.05, for a filter that returns half of the sum).
        on_tokens: options of :class:`models.token_method.TokenMethod`.

    Source: rulixiang/ToCo@e13514d:scripts/dist_train_voc_seg_neg.py, model/model_seg_neg.py.
    """

    starts = {"pretrain": ("segmentation", "energy")}

    def __init__(
        self,
        num_classes: int,
        *,
        class_contrast: Weight = 0.5,
        crops: PositiveCount = 8,
        crop_side: PositiveCount = 96,
        temperature: Positive = 0.5,
        momentum: ShareBelowOne = 0.9,
        segmentation: Weight = 0.1,
        energy: Weight = 0.025,
        **on_tokens: Any,
    ) -> None:
        super().__init__(num_classes, **on_tokens)
        self.projector = Projector(self.backbone.channels["layer4"]) if class_contrast else None
        self.teacher = Follower(self.projector) if self.projector is not None else None
        self.class_contrast, self.crops, self.crop_side = class_contrast, crops, crop_side
        self.temperature, self.momentum = temperature, momentum
        self.segmentation, self.energy = segmentation, energy
        self._step: StepContext | None = None

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`, the page's own CAMs ``cams`` and ``cams_early`` [B,C,H,W] of scales and mirror images,
        and what CTC compares: ``student`` [V*B,d], ``teacher`` [2*B,d], ``positive`` bool [B,V].
        """
        outputs = self.look(batch.image)
        look = partial(self._class_maps, self.backbone, self.heads)
        outputs["cams"], outputs["cams_early"] = own_cams(look, batch.image, batch.tags, self.cam_scales)
        return outputs | self._class_tokens(batch, outputs["cams_early"])

    def _class_tokens(self, batch: Batch, cams: Tensor) -> Outputs:
        """Projected class tokens of two views of each image, and of crops around what is unsure or background."""
        if self.projector is None or self.teacher is None:
            return {}
        image, count = batch.image, len(batch.image)
        high = self.high if self._step is None else self.high_now(batch.tags, self._step, self.pretrain)
        levels, side = certainty_levels(cams, batch.tags, high, self.low), min(image.shape[2:]) // 2
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
        high = self.high_now(batch.tags, context, self.pretrain)
        parts = self._of_tokens(outputs, batch, high)
        if "student" in outputs:
            projected = outputs["student"].float(), outputs["teacher"].float()
            classes = class_token_contrast(*projected, outputs["positive"], self.temperature)  # (3)
            parts["class_contrast"] = self.class_contrast * classes
        return parts | self._of_decoder(outputs, batch, high, context)

    def _of_decoder(
        self, outputs: Outputs, batch: Batch, high: float | Tensor, context: StepContext
    ) -> dict[str, Tensor]:
        if context.epoch < self.pretrain:
            silent = 0 * outputs["scores"].float().sum()
            return dict.fromkeys(("segmentation", "energy") if self.energy else ("segmentation",), silent)
        scores = F.interpolate(outputs["scores"].float(), batch.seeds.shape[1:], mode="bilinear", align_corners=False)
        inside = batch.seeds != IGNORE
        labels = two_threshold_labels(outputs["cams"], batch.image, batch.tags, inside, self.refine, high, self.low)
        labels = self.trusted(labels, scores, context)
        parts = {"segmentation": self.segmentation * seed_cross_entropy(scores, labels, balanced=True)}
        if self.energy:
            parts["energy"] = self.energy * dense_energy(scores, batch.image, labels, inside)  # (4)
        return parts

    def new_modules(self) -> Iterator[nn.Module]:
        yield from super().new_modules()
        if self.projector is not None:
            yield self.projector

    def begin(self) -> None:
        """The teacher starts as the projector."""
        if self.teacher is not None and self.projector is not None:
            self.teacher.start(self.projector)

    def before_step(self, context: StepContext) -> None:
        """Crops are chosen by the threshold that labels have in the same step."""
        self._step = context

    def after_step(self, context: StepContext) -> None:
        if self.teacher is not None and self.projector is not None:
            self.teacher.follow(self.projector, self.momentum)
