"""Pixel-level self-supervision (Yoon et al. 2021): a slow copy of the classifier tells it regions, prototypes and CAMs.

MainNet learns, SupportNet follows it. RCM pulls MainNet's pixels to the prototypes of their region, made of other
images; MAM expands its CAMs to those that SupportNet has over scales. First RCM alone (``mam: 0``), then both from its
checkpoint; with ``rcm: 0`` and ``mam: 0`` the page is the vanilla classifier that both are compared with.
arXiv 2112.05351; numbers in brackets are the equations of docs/methods/rcm_mam.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.ema import Follower
from models.errors import ConfigurationError
from models.heads.cam import pool
from models.heads.embedded_cam import EmbeddedCamHead
from models.losses.multiscale_attention import multiscale_attention
from models.losses.regional_contrast import (
    enqueue,
    image_prototypes,
    leave_one_out,
    queue_prototypes,
    region_mask,
    regional_contrast,
)
from models.ops.batch_norm import untracked
from models.options import (
    Count,
    Positive,
    PositiveCount,
    Scales,
    ShareAboveZero,
    ShareBelowOne,
    Weight,
)
from models.structures import Batch, CamView, Outputs, StepContext


class RcmMam(BackboneMethod):
    """Learns from tags alone. Prototypes come from the images of one process: a batch should have several.

    Args:
        num_classes: foreground classes C.
        dropout: share of feature channels dropped before the head.
        feature_width: channels of the embedding on which RCM acts and which the class maps read.
        head_lr: learning rate of the head over the backbone's (the authors 1; the family's habit is 10).
        momentum: of SupportNet, after each step; 0 shares MainNet's weights.
        rcm: weight of the regional contrast; 0 leaves it out.
        mam: weight of the multi-scale attention; 0 leaves it and its passes out (the first phase).
        support_scales: of the image in SupportNet's passes.
        main_scales: of the image in MainNet's passes for MAM; those beside 1 are passes of their own.
        region_threshold: share of a CAM's peak, from which on a pixel is of the class's region.
        temperature: multiplies the cosines with prototypes.
        region_scales: regions from SupportNet's CAMs of all scales ("multi") or of scale 1 ("single").
        empty: pixels of a region that no other image has do not count ("ignore"), or do ("faithful").
        negatives: prototypes of zeros count in the softmax ("all"), or only those of classes that another image shows
            ("present").
        queue: prototypes from the last so many images of each class (5), own ones too; 0: from the batch's others.
            With several processes the images of the first fill it.
        mam_target: weights that grow with disagreement ("attentive"), or the plain mean over scales ("mean").
        mam_half: MAM on the first half of the batch, at least two images, to save memory.
        counted_classes: classes that MAM's mean counts; 0 counts all C, and 20 gives it the strength that it has on
            VOC, whatever C is (``models.losses.class_means``).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`
            (the authors: ``output_stride`` 8, ``freeze_bn`` true).

    Raises:
        ConfigurationError: ``empty: faithful`` with ``negatives: present``.

    Source: docs/methods/rcm_mam.md (no official code).
    """

    queued: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        dropout: ShareBelowOne = 0.0,
        feature_width: PositiveCount = 256,
        head_lr: Literal[1, 10] = 1,
        momentum: ShareBelowOne = 0.996,
        rcm: Weight = 1.0,
        mam: Weight = 1.0,
        support_scales: Scales = (0.5, 1.0, 1.5, 2.0),
        main_scales: Scales = (0.5, 1.0, 2.0),
        region_threshold: ShareAboveZero = 0.3,
        temperature: Positive = 2.0,
        region_scales: Literal["multi", "single"] = "multi",
        empty: Literal["ignore", "faithful"] = "ignore",
        negatives: Literal["all", "present"] = "all",
        queue: Count = 0,
        mam_target: Literal["attentive", "mean"] = "attentive",
        mam_half: bool = True,
        counted_classes: Count = 0,
        **on_backbone: Any,
    ) -> None:
        if empty == "faithful" and negatives == "present":
            raise ConfigurationError(
                "rcm_mam: expected `empty: ignore` with `negatives: present`, found `empty: faithful`, which compares "
                "pixels with the prototypes of zeros that `present` leaves out. Remedy: change one of the two."
            )
        super().__init__(**on_backbone)
        self.head = EmbeddedCamHead(self.backbone.channels, num_classes, width=feature_width, dropout=dropout)
        self.support = Follower(self._main()) if rcm or mam else None
        self.register_buffer("queued", torch.zeros(queue, 1 + num_classes, feature_width) if queue else None)
        self.rcm, self.mam, self.momentum, self.head_lr = rcm, mam, momentum, head_lr
        self.support_scales, self.main_scales = support_scales, main_scales
        self.region_threshold, self.temperature, self.region_scales = region_threshold, temperature, region_scales
        self.empty, self.mam_target, self.mam_half = empty, mam_target, mam_half
        self.negatives, self.counted_classes = negatives, counted_classes

    def forward(self, batch: Batch) -> Outputs:
        """Class ``maps`` Z [B,C,h,w], the ``embedded`` features F, those before them, the ``logits`` [B,C].

        And the maps of the passes that the losses need, named by network and scale, with the ``prototypes``
        [B,1+C,F] of the images' regions where RCM compares with them.
        """
        outputs = self.look(batch.image)
        outputs["logits"] = pool(outputs["maps"], "gap")
        if self.support is not None:
            outputs |= self._support_passes(self.support, batch.image)
        if self.rcm:
            outputs["prototypes"] = self._own_prototypes(outputs, batch)
        if self.mam:
            outputs |= self._main_passes(batch.image)
        return outputs

    def look(self, image: Tensor) -> Outputs:
        """``maps``, ``embedded`` and ``features`` of MainNet at scale 1."""
        features = self.backbone(image)
        embedded, maps = self.head(features)
        return {"maps": maps, "embedded": embedded, "features": features["layer4"]}

    @torch.no_grad()
    def _support_passes(self, support: Follower, image: Tensor) -> Outputs:
        multi = self.mam or self.region_scales == "multi"
        outputs = {}
        for scale in dict.fromkeys([*([1.0] if self.rcm else []), *(self.support_scales if multi else [])]):
            embedded, outputs[f"support_{scale:g}"] = _look(support.network, _scaled(image, scale))
            if scale == 1:
                outputs["support_embedded"] = embedded
        return outputs

    def _main_passes(self, image: Tensor) -> Outputs:
        """Running statistics stay those of scale 1, at which the image is classified."""
        main, image = self._main(), image[: self._attended(len(image))]
        with untracked(main):
            return {f"main_{s:g}": _look(main, _scaled(image, s))[1] for s in self.main_scales if s != 1}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(9): L = BCE(GAP(Z), tags) + rcm L_RCM + mam L_MAM."""
        parts = {"classification": F.multilabel_soft_margin_loss(outputs["logits"], batch.tags.float())}
        if self.rcm:
            parts["regional_contrast"] = self.rcm * self._regional_contrast(outputs, batch)
        if self.mam:
            parts["multiscale_attention"] = self.mam * self._multiscale_attention(outputs, batch)
        return parts

    @torch.no_grad()
    def _own_prototypes(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Of each image's regions at scale 1, whichever regions the contrast has (docs/methods/rcm_mam.md, step 3)."""
        with torch.autocast(batch.image.device.type, enabled=False):
            regions = self._regions([outputs["support_1"].float()], batch)
            return image_prototypes(outputs["support_embedded"].float(), regions, batch.tags.shape[1])  # (3)

    def _regions(self, maps: list[Tensor], batch: Batch) -> Tensor:
        return region_mask(maps, batch.tags, batch.image.shape[2:], self.region_threshold)  # (2), [B,H,W]

    def _regional_contrast(self, outputs: Outputs, batch: Batch) -> Tensor:
        multi = self.region_scales == "multi"
        regions = self._regions(self._support_maps(outputs) if multi else [outputs["support_1"].float()], batch)
        prototypes = self._others(outputs["prototypes"])
        # (5); published: pixels of a class that no other image has count too (``empty: faithful``)
        options = self.temperature, self.empty, self.negatives
        return regional_contrast(outputs["embedded"].float(), prototypes, regions, *options)

    def _others(self, of_images: Tensor) -> Tensor:
        """The prototypes that each image's pixels are compared with: of the batch's others, or of the queue."""
        if self.queued is None:
            return leave_one_out(of_images)  # (4)
        return queue_prototypes(enqueue(self.queued, of_images)).expand_as(of_images)

    def _multiscale_attention(self, outputs: Outputs, batch: Batch) -> Tensor:
        count = self._attended(len(batch.tags))
        main = [(outputs["maps"][:count] if s == 1 else outputs[f"main_{s:g}"]).float() for s in self.main_scales]
        support = [maps[:count] for maps in self._support_maps(outputs)]
        # (6) to (8)
        size, options = batch.image.shape[2:], (self.mam_target, self.counted_classes)
        return multiscale_attention(main, support, batch.tags[:count], size, *options)

    def _support_maps(self, outputs: Outputs) -> list[Tensor]:
        return [outputs[f"support_{scale:g}"].float() for scale in self.support_scales]

    def _attended(self, images: int) -> int:
        """At least two, for batch norms cannot take statistics of one image's only cell."""
        return min(images, max(2, images // 2)) if self.mam_half else images

    def _main(self) -> nn.ModuleDict:
        return nn.ModuleDict({"backbone": self.backbone, "head": self.head})

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """MainNet's only view; its features are the backbone's, as on the other pages."""
        maps = outputs["maps"].float()
        return (CamView("classification", 1.0, batch.image, maps, None, maps.relu(), outputs["features"].float()),)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """relu(Z) of MainNet, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        return _look(self._main(), image)[1].float().relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]: means of MainNet's maps."""
        return pool(self.look(image)["maps"], "gap")

    def new_modules(self) -> Iterator[nn.Module]:
        if self.head_lr == 10:
            yield self.head

    def begin(self) -> None:
        """SupportNet starts as MainNet, the queue empty."""
        if self.support is not None:
            self.support.start(self._main())
        if self.queued is not None:
            self.queued.zero_()

    def remember(self, outputs: Outputs, batch: Batch) -> None:
        if self.queued is not None and self.rcm:
            self.queued.copy_(enqueue(self.queued, outputs["prototypes"]))

    def after_step(self, context: StepContext) -> None:
        if self.support is not None:
            self.support.follow(self._main(), self.momentum)  # (1)


def _look(network: Any, image: Tensor) -> tuple[Tensor, Tensor]:
    """The embedding F and the maps Z."""
    seen: tuple[Tensor, Tensor] = network["head"](network["backbone"](image))
    return seen


def _scaled(image: Tensor, scale: float) -> Tensor:
    size = [max(1, round(length * scale)) for length in image.shape[2:]]
    return image if scale == 1 else F.interpolate(image, size, mode="bilinear", align_corners=True)
