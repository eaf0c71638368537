"""AFA (Ru et al. 2022): single-stage segmentation by a transformer whose attention learns which cells belong together.

Its affinity spreads the CAMs, PAR lays them on the image's edges, and what is sure of them teaches the decoder.
arXiv 2203.02664; numbers in brackets are the equations of docs/methods/afa.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.heads.cam import CamHead
from models.heads.segformer import SegFormerHead
from models.losses.affinity import dense_affinity_loss
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dense_energy import dense_energy
from models.online_label_method import BandLabelMethod
from models.ops.affinity import dense_pair_labels, propagate_tagged, within
from models.ops.cam import max_norm
from models.ops.multiscale import scaled_views
from models.ops.online_labels import refined_share_labels, two_threshold_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.options import (
    PositiveCount,
    Scales,
    ShareBelowOne,
    StartEpoch,
    Weight,
)
from models.structures import IGNORE, Batch, Outputs, StepContext


class Afa(BandLabelMethod):
    """Learns from tags alone; it localises and segments.

    Args:
        num_classes: foreground classes C.
        backbone: one with attention (mit_b0, mit_b1, mit_b2; the authors mit_b1).
        head_width: channels of the decoder (256).
        dropout: before its classifier.
        cam_scales: of the image, whose CAMs, with those of mirror images, become labels.
        high, low: scores of the background between which pixels are left out (.55, .35).
        radius: cells between which pairs learn and spread (8).
        segmentation, affinity: weights of these losses (0.1).
        energy: weight of the dense-energy loss (0: without it, as released). The paper's results have it.
        pretrain: epochs of tags alone before them (2,000 of 20,000 steps).
        on_labels: options of :class:`models.online_label_method.BandLabelMethod` (the authors: ``output_stride`` 16,
            the grid of CAMs and affinities).

    Raises:
        ConfigurationError: a backbone without attention.

    Source: rulixiang/afa@adcfa29:scripts/dist_train_voc.py, wetr/model_attn_aff.py.
    """

    reads_attention = True
    switches = {"scores": "segmentation"}
    starts = {"pretrain": ("segmentation", "affinity", "energy")}

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "mit_b1",
        head_width: PositiveCount = 256,
        dropout: ShareBelowOne = 0.1,
        cam_scales: Scales = (1.0, 0.5, 1.5),
        high: ShareBelowOne = 0.55,
        low: ShareBelowOne = 0.35,
        radius: PositiveCount = 8,
        segmentation: Weight = 0.1,
        affinity: Weight = 0.1,
        energy: Weight = 0.0,
        pretrain: StartEpoch = 1.0,
        **on_labels: Any,
    ) -> None:
        super().__init__(num_classes, backbone=backbone, high=high, low=low, **on_labels)
        channels = self.backbone.channels
        self.cam_head = CamHead(channels, num_classes)
        self.decoder = SegFormerHead(channels, 1 + num_classes, width=head_width, dropout=dropout)
        self.affinity_head = nn.Conv2d(self.backbone.attentions, 1, kernel_size=1)
        nn.init.xavier_uniform_(self.affinity_head.weight)
        nn.init.zeros_(self.affinity_head.bias)  # type: ignore[arg-type]
        self.cam_scales, self.radius = tuple(cam_scales), radius
        self.segmentation, self.affinity, self.energy, self.pretrain = segmentation, affinity, energy, pretrain
        self.refine = PixelAdaptive("par")

    def look(self, image: Tensor) -> Outputs:
        """``maps`` [B,C,h,w], ``scores`` [B,1+C,h1,w1] of the decoder, ``affinity`` [B,n,n] between the n cells, and
        the image-level ``logits`` [B,C].
        """
        features, attention = self.backbone.with_attention(image)
        alike = self.affinity_head(attention + attention.transpose(-2, -1))[:, 0].float().sigmoid()  # (1), [B,n,n]
        outputs = {"maps": self.cam_head(features), "scores": self.decoder(features), "affinity": alike}
        return outputs | {"logits": self._strongest(features)}

    def _strongest(self, features: dict[str, Tensor]) -> Tensor:
        """Image-level logits [B,C] of the largest value of each channel, wherever it is."""
        most = {"layer4": features["layer4"].amax((2, 3), keepdim=True)}
        logits: Tensor = self.cam_head(most)[:, :, 0, 0].float()
        return logits

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`."""
        return self.look(batch.image)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(6): L = L_cls + segmentation L_seg + affinity L_aff, and energy L_reg; before ``pretrain`` L_cls alone.

        The paper has the dense-energy term L_reg, its release does not.
        """
        parts = {"classification": F.multilabel_soft_margin_loss(outputs["logits"].float(), batch.tags.float())}
        if context.epoch < self.pretrain:
            silent = 0 * (outputs["scores"].float().sum() + outputs["affinity"].sum())
            late = ("segmentation", "affinity", "energy") if self.energy else ("segmentation", "affinity")
            return parts | dict.fromkeys(late, silent)
        cams = self._own_cams(batch)
        scores = F.interpolate(outputs["scores"].float(), batch.seeds.shape[1:], mode="bilinear", align_corners=False)
        high = self.high_now(batch.tags, context, self.pretrain)
        labels = self._pseudo_labels(cams, outputs["affinity"].detach(), batch, high)
        labels = self.trusted(labels, scores, context)
        entropy = seed_cross_entropy(scores, labels, balanced=True)  # (4); released: NaN where a side is empty
        if self.energy:
            parts["energy"] = self.energy * dense_energy(scores, batch.image, labels, batch.seeds != IGNORE)
        return parts | {
            "segmentation": self.segmentation * entropy,
            "affinity": self.affinity * self._affinity_loss(outputs["affinity"], cams, batch, high),
        }

    @torch.no_grad()
    def _own_cams(self, batch: Batch) -> Tensor:
        """CAMs [B,C,h,w] in [0,1] over scales and mirror images, at the network's grid."""
        views = list(scaled_views(batch.image, self.cam_scales, flip=True))
        each = [self.cam_head(self.backbone(view)).float().relu() for view in views]
        size = [-(-length // self.stride) for length in batch.image.shape[2:]]
        merged = (torch.maximum(plain, mirrored.flip(-1)) for plain, mirrored in (maps.chunk(2) for maps in each))
        total = sum(F.interpolate(maps, size, mode="bilinear", align_corners=False) for maps in merged)
        assert isinstance(total, Tensor)
        return max_norm(total) * batch.tags[:, :, None, None]  # [B,C,h,w]

    def _pseudo_labels(self, cams: Tensor, alike: Tensor, batch: Batch, most: float | Tensor) -> Tensor:
        near = within((cams.shape[2], cams.shape[3]), self.radius, cams.device)
        # (3), [B,1+C,h,w] each
        high, low = (propagate_tagged(cams, batch.tags, alike * near, score) for score in (most, self.low))
        inside = batch.seeds != IGNORE
        return refined_share_labels(high, low, batch.image, batch.tags, inside, self.refine)

    def _affinity_loss(self, alike: Tensor, cams: Tensor, batch: Batch, high: float | Tensor) -> Tensor:
        inside = batch.seeds != IGNORE
        labels = two_threshold_labels(cams, batch.image, batch.tags, inside, self.refine, high, self.low)
        grid = (cams.shape[2], cams.shape[3])
        cells = F.interpolate(labels[:, None].float(), grid, mode="nearest")[:, 0].long()
        same, different = dense_pair_labels(cells)
        near = within(grid, self.radius, cells.device)
        return dense_affinity_loss(alike, same & near, different & near)  # (5)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """relu of the class maps, [B,C,h,w], zero for classes that ``tags`` [B,C] deny."""
        maps: Tensor = self.cam_head(self.backbone(image))
        return maps.float().relu() * tags[:, :, None, None]

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]."""
        return self._strongest(self.backbone(image))

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h1,w1] of the decoder."""
        logits: Tensor = self.decoder(self.backbone(image))
        return logits

    def new_modules(self) -> Iterator[nn.Module]:
        yield from (self.cam_head, self.decoder, self.affinity_head)
