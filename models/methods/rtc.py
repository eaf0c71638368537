"""RTC (Wang et al. 2023): a siamese classifier, its refined CAMs, and a segmenter taught by them, in one training.

Representation: CAMs spread by a deep and by a shallow affinity (CRR). Transform: prototypes with the other view's
features (CTR). Compensator: confident cells vote for more of the object. Then the decoder learns from online labels.
arXiv 2309.00871; numbers in brackets are the equations of docs/methods/rtc.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.doors import resolve
from models.errors import ConfigurationError
from models.heads import HEADS
from models.heads.correlation import CorrelationHead
from models.heads.cross_affinity import CrossAffinityHead
from models.heads.embedded_cam import EmbeddedCamHead
from models.losses.balanced_mask import balanced_mask_cross_entropy
from models.losses.prototype_contrast import present_classes
from models.losses.seam import Comparable, View, comparable_views, equivariance_losses, siamese_classification
from models.losses.transform_contrast import (
    TransformView,
    mutual_compensation,
    swapped_prototypes,
    transform_contrast,
    transform_view,
)
from models.online_label_method import BandLabelMethod
from models.ops.cam import max_norm
from models.ops.online_labels import two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.pixel_correlation import correlation_seed, cross_representation, pixel_correlation
from models.ops.siamese import siamese_cam_views
from models.ops.tagged_pairs import TaggedPairs
from models.options import (
    Count,
    Exponent,
    InnerShare,
    Positive,
    PositiveCount,
    ShareAboveZero,
    ShareBelowOne,
    StartEpoch,
    Weight,
)
from models.structures import IGNORE, Batch, CamView, Outputs, StepContext


class Rtc(BandLabelMethod):
    """Learns from tags alone, and both localises and segments. The defaults are the release's but for the backbone.

    ``representation: single, contrast: 0, compensator: 0, segmentation: 0`` is the baseline, SEAM with another head.

    Args:
        num_classes: foreground classes C; CAMs and decoder have a map for the background too.
        dropout: share of feature channels dropped before the CAM head (RTC 0.5).
        feature_width: channels of f, which the class maps read and CTR compares (RTC 256).
        affinity_width: channels of the first level that affinities compare (RTC 64).
        affinity_power: exponent of their cosines (RTC 1): above 1 scores spread to fewer cells, those that look most
            alike.
        second_size: side of the second view in pixels (RTC 128).
        hardest: share of the entries that the cross equivariance keeps (RTC 0.2).
        counted_classes: classes that the means of both equivariance terms and of the compensator count; 0 counts all C,
            as RTC does, and 20 gives them the strength that they have on VOC (``models.losses.class_means``).
        labels: several classes an image ("multi"), or exactly one, by cross-entropy ("single": localisation).
        representation: CAMs spread by two affinities ("cross": CRR), or by SEAM's one ("single").
        contrast: weight of each term of CTR (RTC 0.1); 0 leaves it out.
        tau: its temperature (RTC 0.1).
        background: constant score of the background in CTR's pseudo-labels (RTC 0.2).
        cells: of the batch that make a prototype and vote (RTC 32, of batches of 8 images).
        background_cells: cells of the background's prototype, see ``transform_view``.
        negatives: prototypes of all classes in the denominator (RTC), or of those that the batch has ("present").
        compensator: weight of the compensator's loss (RTC 1); 0 leaves it out.
        transform_start: epoch from which CTR and the compensator count (RTC 0): both believe the refined CAMs, which
            are blurred as long as the affinities have not learned.
        votes_temperature: of its votes (RTC 1).
        compensated: share of an image's entries, the largest gaps, that it keeps (RTC 0.8).
        segmentation: weight of the decoder's loss (RTC 1); 0: no decoder, CAMs only.
        segmentation_start: epoch from which it counts (RTC 7 of 25).
        head: of the decoder, by name (``models.heads``).
        head_width: its channels.
        high, low: background scores of the online labels, low at most high (RTC 0.55, 0.2).
        refiner: pixel-adaptive refinement of the online labels.
        on_labels: options of :class:`models.online_label_method.BandLabelMethod`
            (RTC: ``output_stride`` 8, ``freeze_bn`` true).

    Source: ChunyanWang1/RTC@9c777e0:contrast_train.py.
    """

    switches = {"scores": "segmentation", "gated_scores": "segmentation"}
    starts = {"transform_start": ("contrast", "compensator"), "segmentation_start": ("segmentation",)}

    def __init__(
        self,
        num_classes: int,
        *,
        dropout: ShareBelowOne = 0.0,
        feature_width: PositiveCount = 256,
        affinity_width: PositiveCount = 64,
        affinity_power: Exponent = 1.0,
        second_size: PositiveCount = 128,
        hardest: ShareAboveZero = 0.2,
        counted_classes: Count = 0,
        labels: Literal["multi", "single"] = "multi",
        representation: Literal["cross", "single"] = "cross",
        contrast: Weight = 0.1,
        tau: Positive = 0.1,
        background: InnerShare = 0.2,
        cells: PositiveCount = 32,
        background_cells: Literal["first", "least_foreground"] = "first",
        negatives: Literal["all", "present"] = "all",
        compensator: Weight = 1.0,
        transform_start: StartEpoch = 0.0,
        votes_temperature: Positive = 1.0,
        compensated: ShareAboveZero = 0.8,
        segmentation: Weight = 1.0,
        segmentation_start: StartEpoch = 7.0,
        head: str = "rtc",
        head_width: PositiveCount = 256,
        high: ShareBelowOne = 0.55,
        low: ShareBelowOne = 0.2,
        refiner: Literal["varm", "par", "pamr"] = "varm",
        **on_labels: Any,
    ) -> None:
        super().__init__(num_classes, high=high, low=low, **on_labels)
        stride = self.backbone.output_stride
        channels = self.backbone.channels
        self.cam_head = EmbeddedCamHead(channels, 1 + num_classes, width=feature_width, dropout=dropout)
        affinity = CrossAffinityHead if representation == "cross" else CorrelationHead
        self.affinity = affinity(channels, width=affinity_width)
        decoder = resolve(HEADS, head, "head") if segmentation else None
        self.decoder = decoder and decoder(channels, 1 + num_classes, output_stride=stride, width=head_width)
        self.second_size, self.hardest, self.representation = second_size, hardest, representation
        self.counted_classes, self.cells, self.affinity_power = counted_classes, cells, affinity_power
        self.labels: Literal["multi", "single"] = labels
        self.contrast, self.tau, self.background = contrast, tau, background
        self.background_cells, self.negatives = background_cells, negatives
        self.compensator, self.votes_temperature, self.compensated = compensator, votes_temperature, compensated
        self.transform_start = transform_start
        self.segmentation, self.segmentation_start = segmentation, segmentation_start
        self.refine = PixelAdaptive(refiner)

    @property
    def align_corners(self) -> bool:
        """How the decoder's grid is enlarged."""
        return True

    def look(self, image: Tensor) -> Outputs:
        """``logits`` and ``refined`` [B,1+C,h,w], f as ``embedded``, and the ``features`` before it."""
        return self._look(image, self.backbone(image))

    def _look(self, image: Tensor, features: Mapping[str, Tensor]) -> Outputs:
        embedded, logits = self.cam_head(features)
        compared = self.affinity((image - self.backbone.mean) / self.backbone.std, features)
        with torch.autocast(image.device.type, enabled=False):  # cosines of half precision blur the affinity
            logits, embedded = logits.float(), embedded.float()
            if self.representation == "cross":
                deep, shallow = (part.float() for part in compared)
                refined = cross_representation(logits, deep, shallow, power=self.affinity_power)  # (1), [B,1+C,h,w]
            else:
                refined = pixel_correlation(correlation_seed(logits), compared.float(), power=self.affinity_power)
        return {"logits": logits, "refined": refined, "embedded": embedded, "features": features["layer4"]}

    def second_view(self, image: Tensor) -> Tensor:
        """The smaller copy of a batch of images."""
        return F.interpolate(image, [self.second_size] * 2, mode="bilinear", align_corners=True)

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look` for both views, the second's ending in ``_2``; ``scores`` of the decoder."""
        features = self.backbone(batch.image)
        outputs = self._look(batch.image, features)
        if self.decoder is not None:
            outputs["scores"] = self.decoder(features)
        second = self.look(self.second_view(batch.image))
        return outputs | {f"{name}_2": value for name, value in second.items()}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(9): L = L_cls + L_er + L_ecr + contrast L_nce + compensator L_com + segmentation L_seg."""
        tags, sizes = batch.tags, {"": batch.image.shape[2:], "_2": torch.Size([self.second_size] * 2)}
        pairs = TaggedPairs.of(tags)
        first, second = (
            View.of(outputs[f"logits{suffix}"], outputs[f"refined{suffix}"], pairs, size)
            for suffix, size in sizes.items()
        )
        views = comparable_views(first, second, tags)
        equivariance = equivariance_losses(*views, self.hardest, self.counted_classes)
        parts = siamese_classification(first, second, tags, self.labels)  # (2)
        parts |= {"equivariance": equivariance.plain, "cross_equivariance": equivariance.cross}  # (3)
        if self.contrast or self.compensator:
            grids = tuple(self._grid(outputs, suffix, tags) for suffix in sizes)
            counts = float(context.epoch >= self.transform_start)
            transform = self._transform((grids[0], grids[1]), views, tags)
            parts |= {name: counts * loss for name, loss in transform.items()}
        if self.decoder is not None:
            parts["segmentation"] = self._segmentation(outputs, batch, context)
        return parts

    def _grid(self, outputs: Outputs, suffix: str, tags: Tensor) -> TransformView:
        maps = outputs[f"embedded{suffix}"], outputs[f"refined{suffix}"]
        return transform_view(*maps, tags, self.background, self.background_cells, top=self.cells)

    def _transform(
        self, grids: tuple[TransformView, TransformView], views: tuple[Comparable, Comparable], tags: Tensor
    ) -> dict[str, Tensor]:
        """CTR, and the compensator, which teaches the plain CAMs what cells vote for."""
        first, second = grids
        parts: dict[str, Tensor] = {}
        if self.contrast:
            against = swapped_prototypes(first, second), swapped_prototypes(second, first)  # (4), [1+C,F] each
            present = present_classes(tags) if self.negatives == "present" else None
            contrast = transform_contrast(first, second, against, self.tau, present)  # (5)
            parts |= {name: self.contrast * value for name, value in vars(contrast).items()}
        if self.compensator:
            cams = views[0].cam, views[1].cam
            options = self.votes_temperature, self.compensated, self.counted_classes
            loss = mutual_compensation(grids, cams, tags, *options)  # (6), (7)
            parts["compensator"] = self.compensator * loss
        return parts

    def _segmentation(self, outputs: Outputs, batch: Batch, context: StepContext) -> Tensor:
        """Balanced cross-entropy against online labels from its epoch on; before, 0 for every parameter."""
        if context.epoch < self.segmentation_start:
            return outputs["scores"].float().sum() * 0
        refined = max_norm(outputs["refined"].detach()[:, 1:]) * batch.tags[:, :, None, None]  # (10), [B,C,h,w]
        inside = batch.seeds != IGNORE
        high, scores = self.high_now(batch.tags, context, self.segmentation_start), outputs["scores"].float()
        labels = two_threshold_labels(refined, batch.image, batch.tags, inside, self.refine, high, self.low)
        labels = self.trusted(labels, scores, context, self.align_corners)
        loss = balanced_mask_cross_entropy(scores, labels, batch.tags)  # (8), [B]
        return self.segmentation * loss.mean()

    def cam_views(self, outputs: Outputs, batch: Batch) -> tuple[CamView, ...]:
        """The image and its smaller copy; half of the classification each."""
        return siamese_cam_views(outputs, batch.image, self.second_view(batch.image))

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """Refined foreground maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        return self.look(image)["refined"][:, 1:].relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]."""
        logits: Tensor = self.cam_head(self.backbone(image))[1][:, 1:].float().mean((2, 3))
        return logits

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] of the decoder."""
        return self.gated_scores(image)[0]

    def gated_scores(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B,1+C,h,w] of the decoder, and the probability [B,C] that each class is in the image.

        With ``labels: single`` the probabilities of the classes add up to 1.

        Raises:
            ConfigurationError: the page was trained without a decoder.
        """
        if self.decoder is None:
            raise ConfigurationError(
                "rtc: this checkpoint was trained with segmentation: 0 and has no decoder, so that it localises but "
                "does not segment. Export its CAMs, or train it with segmentation: 1."
            )
        features = self.backbone(image)
        maps = self.cam_head(features)[1][:, 1:].float()
        means = maps.mean((2, 3))
        # cross-entropy leaves a common shift of the logits free, which a sigmoid would read as a probability
        return self.decoder(features), means.softmax(1) if self.labels == "single" else means.sigmoid()

    def new_modules(self) -> Iterator[Any]:
        yield from (module for module in (self.cam_head, self.affinity, self.decoder) if isinstance(module, nn.Module))
