"""DuPL (Wu et al. 2024): two transformers that learn each other's labels, so that neither believes its own errors.

Both localise and segment as ToCo's does, without its class-token contrast. Labels grow as their threshold falls, and
those that a network can only have learned from noise are left out; where there is none, a changed image must be seen as
the plain one. arXiv 2403.11184; numbers in brackets are the equations of docs/methods/dupl.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.ema import follow
from models.errors import ConfigurationError
from models.heads.token_heads import TokenHeads, strongest
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dual_branch import (
    consistency,
    falling_threshold,
    highest_of_tags,
    likeness,
    pixel_losses,
    sure_where_unlabelled,
    without_noise,
)
from models.losses.token_contrast import patch_token_contrast
from models.ops.online_labels import grid_labels, two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.random_views import recoloured
from models.ops.tokens import token_maps
from models.ops.view_cams import own_cams
from models.options import (
    InnerShare,
    PositiveCount,
    Scales,
    ShareAboveZero,
    ShareBelowOne,
    Shares,
    StartEpoch,
    Weight,
)
from models.structures import IGNORE, Batch, Outputs, StepContext

BRANCHES = ("", "_2")
"""How the outputs of the two end."""
STRENGTH = 2.0
"""Of the change of colours, over that of an ordinary view."""


class Dupl(BackboneMethod):
    """Learns from tags alone; its first branch localises and segments.

    Args:
        num_classes: foreground classes C.
        backbone: a plain vision transformer (the authors ViT-B/16); both branches start from its weights.
        head_width: channels of the decoders (512).
        early: which block has the class maps that label tokens, counted from the end (3).
        cam_scales: of the image, whose CAMs, with those of mirror images, become labels.
        high: score above which a class is sure when the decoders begin (.7).
        high_end: the same at the end: one number, or one for each class (VOC: .55 or .7, set by hand).
        low: score up to which background is sure (.25).
        patch_contrast: weight of the patch-token contrast of each branch (0.2).
        difference: weight of the term that keeps the branches' features apart (0.1).
        segmentation: weight of what each branch learns of the other's labels (0.2).
        agreement: weight of the consistency where there are none (0.05).
        confidence: probability from which the plain image's prediction teaches the changed one (0.9).
        changed_scale: of the changed image (0.75).
        noise_certainty: probability from which a label counts as noise (0.95).
        pretrain: epochs before the last two losses (2,000 of 20,000 steps).
        noise_start: epoch from which noise is left out (8,000 of 20,000 steps).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.

    Raises:
        ConfigurationError: a backbone that is no vision transformer; ``high_end`` of another number of classes.

    Source: Wu0409/DuPL@b21990f:train_final_voc.py.
    """

    high_end: Tensor
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
        high_end: Shares = 0.55,
        low: ShareBelowOne = 0.25,
        patch_contrast: Weight = 0.2,
        difference: Weight = 0.1,
        segmentation: Weight = 0.2,
        agreement: Weight = 0.05,
        confidence: InnerShare = 0.9,
        changed_scale: ShareAboveZero = 0.75,
        noise_certainty: InnerShare = 0.95,
        pretrain: StartEpoch = 1.0,
        noise_start: StartEpoch = 4.0,
        **on_backbone: Any,
    ) -> None:
        super().__init__(backbone=backbone, **on_backbone)
        channels = self.backbone.channels["layer4"]
        self.heads = TokenHeads(channels, num_classes, head_width)
        second = {"backbone": deepcopy(self.backbone), "heads": TokenHeads(channels, num_classes, head_width)}
        self.second = nn.ModuleDict(second)
        self.register_buffer("high_end", _of_classes(high_end, num_classes), persistent=False)
        self.early, self.cam_scales, self.high, self.low = early, tuple(cam_scales), high, low
        self.patch_contrast, self.difference, self.segmentation = patch_contrast, difference, segmentation
        self.agreement, self.confidence, self.changed_scale = agreement, confidence, changed_scale
        self.noise_certainty, self.pretrain, self.noise_start = noise_certainty, pretrain, noise_start
        self.refine = PixelAdaptive("par")

    def look(self, image: Tensor) -> Outputs:
        """Of both branches, the second's ending in ``_2``: ``maps`` and ``maps_early`` [B,C,h,w], ``logits`` and
        ``logits_early`` [B,C], ``scores`` [B,1+C,h,w], and the patch tokens as ``features`` [B,D,h,w].
        """
        outputs: Outputs = {}
        for ending, backbone, heads in self._branches():
            seen = token_maps(backbone, image, self.early)
            own = heads(seen) | {"features": seen.patches}
            outputs |= {name + ending: value for name, value in own.items()}
        return outputs

    def _branches(self) -> list[tuple[str, Any, Any]]:
        """Ending of the outputs, backbone and heads of each."""
        return [("", self.backbone, self.heads), ("_2", self.second["backbone"], self.second["heads"])]

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`; of each branch its own CAMs ``cams`` and ``cams_early`` [B,C,H,W] of scales and mirror
        images, and ``changed`` [B,1+C,h,w], the scores of a recoloured, mirrored, smaller image.
        """
        outputs, changed = self.look(batch.image), self._changed(batch.image)
        for ending, backbone, heads in self._branches():
            cams = own_cams(partial(self._class_maps, backbone, heads), batch.image, batch.tags, self.cam_scales)
            outputs |= {f"{name}{ending}": one for name, one in zip(("cams", "cams_early"), cams, strict=True)}
            outputs[f"changed{ending}"] = heads.decoder({"layer4": token_maps(backbone, changed).patches})
        return outputs

    def _class_maps(self, backbone: Any, heads: Any, image: Tensor) -> tuple[Tensor, Tensor]:
        maps: tuple[Tensor, Tensor] = heads.class_maps(token_maps(backbone, image, self.early))
        return maps

    def _changed(self, image: Tensor) -> Tensor:
        size = [max(1, round(length * self.changed_scale)) for length in image.shape[2:]]
        smaller = F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1)
        draws = (
            torch.rand(len(image), 3, device=image.device) if self.training else image.new_full((len(image), 3), 0.5)
        )
        return recoloured(smaller, draws, STRENGTH).flip(-1)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(6): L = sum over branches of L_cls + L_early + patch_contrast L_ptc, + difference L_dis
        + segmentation L_seg + agreement L_reg; before ``pretrain`` the last two are 0.
        """
        tags, inside = batch.tags.float(), batch.seeds != IGNORE
        high = highest_of_tags(self._thresholds(context), batch.tags)  # (1), [B]
        parts = dict.fromkeys(("classification", "early_classification", "patch_contrast"), tags.new_zeros(()))
        for ending in BRANCHES:
            features = outputs[f"features{ending}"]
            cells = grid_labels(outputs[f"cams_early{ending}"], features, batch.tags, inside, high, self.low)
            contrast = self.patch_contrast * patch_token_contrast(features.float(), cells)
            own = (outputs[f"logits{ending}"], outputs[f"logits_early{ending}"])
            terms = [*(F.multilabel_soft_margin_loss(logits, tags) for logits in own), contrast]
            parts = {name: part + term for (name, part), term in zip(parts.items(), terms, strict=True)}
        one, other = (outputs[f"features{ending}"].float() for ending in BRANCHES)
        parts["difference"] = self.difference * (likeness(one, other) + likeness(other, one))  # (2)
        return parts | self._of_decoders(outputs, batch, inside, high, context)

    def _thresholds(self, context: StepContext) -> Tensor:
        """[C], at the step of ``context``."""
        begin = round(self.pretrain * context.steps_per_epoch)
        start = torch.full_like(self.high_end, self.high)
        return falling_threshold(start, self.high_end, context.step - begin, context.total_steps - begin)

    def _of_decoders(
        self, outputs: Outputs, batch: Batch, inside: Tensor, high: Tensor, context: StepContext
    ) -> dict[str, Tensor]:
        if context.epoch < self.pretrain:
            seen = (outputs[f"{name}{ending}"].float().sum() for name in ("scores", "changed") for ending in BRANCHES)
            silent = 0 * torch.stack(list(seen)).sum()
            return {"segmentation": silent, "agreement": silent}
        size = batch.seeds.shape[1:]
        scores = [
            F.interpolate(outputs[f"scores{ending}"].float(), size, mode="bilinear", align_corners=False)
            for ending in BRANCHES
        ]
        labels = [
            self._labels(outputs[f"cams{ending}"], own, batch, inside, high, context)
            for ending, own in zip(BRANCHES, scores, strict=True)
        ]
        crosswise = list(zip(BRANCHES, scores, reversed(labels), strict=True))
        learned = [seed_cross_entropy(own, others, balanced=True) for _, own, others in crosswise]  # (4)
        agreed = [
            consistency(outputs[f"changed{ending}"].float(), sure_where_unlabelled(own, others, self.confidence))
            for ending, own, others in crosswise
        ]  # (5)
        return {
            "segmentation": self.segmentation * torch.stack(learned).sum(),
            "agreement": self.agreement * torch.stack(agreed).sum(),
        }

    def _labels(
        self, cams: Tensor, scores: Tensor, batch: Batch, inside: Tensor, high: Tensor, context: StepContext
    ) -> Tensor:
        """int64 [B,H,W] of one branch's CAMs; what its own scores [B,1+C,H,W] show to be noise is void."""
        labels = two_threshold_labels(cams, batch.image, batch.tags, inside, self.refine, high, self.low)
        if context.epoch < self.noise_start:
            return labels
        losses = pixel_losses(scores.detach(), labels)
        return without_noise(losses, labels, certainty=self.noise_certainty)[0]  # (3)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """relu of the first branch's class maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        maps = self._class_maps(self.backbone, self.heads, image)[0]
        return maps.float().relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C] of the first branch."""
        return strongest(self.heads.cam, token_maps(self.backbone, image).patches)

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] of the first branch's decoder."""
        logits: Tensor = self.heads.decoder({"layer4": token_maps(self.backbone, image).patches})
        return logits

    def new_modules(self) -> Iterator[nn.Module]:
        yield from (self.heads, self.second["heads"])

    def begin(self) -> None:
        """The second branch starts from the weights of the first's backbone."""
        follow(self.second["backbone"], self.backbone, 0.0)


def _of_classes(shares: float | Sequence[float], num_classes: int) -> Tensor:
    """[C] of one number, or of one for each class."""
    listed = list(shares) if isinstance(shares, Sequence) else [shares] * num_classes
    if len(listed) != num_classes:
        raise ConfigurationError(
            f"dupl: expected high_end as one number or as one for each of {num_classes} classes, found {len(listed)}. "
            "Remedy: as many numbers as classes, in their order."
        )
    return torch.tensor(listed, dtype=torch.float32)
