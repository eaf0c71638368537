"""DeepLab: a backbone, a head, cross-entropy on whatever masks it is given (Chen et al. 2015, 2017, 2018).

Fully supervised on annotated masks, the last step of every multi-stage chain on pseudo-masks. arXiv 1412.7062 (v1),
1606.00915 (v2), 1706.05587 (v3), 1802.02611 (v3+); numbers in brackets are the equations of docs/methods/segmenter.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.doors import resolve
from models.errors import ConfigurationError
from models.heads import HEADS
from models.losses.cross_entropy import seed_cross_entropy
from models.options import Positive, PositiveCount, Share, ShareBelowOne
from models.structures import Batch, Outputs, StepContext


class SegmenterNetwork(BackboneMethod):
    """Learns from seeds: background, classes, and pixels about which nothing is said.

    Args:
        num_classes: foreground classes C; the network answers 1 + C channels.
        head: name of a head (``models.heads``).
        head_width: hidden channels of the head.
        dropout: before the head's classifier.
        balanced: weigh background and foreground pixels alike.
        label_smoothing: share of the target spread over all channels.
        align_corners: how logits are enlarged to the crop (DeepLab v1 and the SEAM family: true).
        also_scales: scores are the largest of those of the image and of its copies at these scales, each of which has a
            loss of its own in training (DeepLab v2's MSC: 0.5 and 0.75).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.

    Raises:
        ConfigurationError: ``also_scales`` with 1, or with a scale twice.
    """

    learns_from_pixels = True

    def __init__(
        self,
        num_classes: int,
        *,
        head: str = "large_fov",
        head_width: PositiveCount = 256,
        dropout: ShareBelowOne = 0.1,
        balanced: bool = False,
        label_smoothing: Share = 0.0,
        align_corners: bool = False,
        also_scales: Sequence[Positive] = (),
        **on_backbone: Any,
    ) -> None:
        names = [f"{scale:g}" for scale in (1.0, *also_scales)]
        if len(set(names)) < len(names):
            raise ConfigurationError(
                "segmenter.also_scales: expected different scales beside 1, the image itself, found "
                f"{', '.join(names[1:])}. Remedy: leave out 1, and each scale that is named twice."
            )
        super().__init__(**on_backbone)
        stride = self.backbone.output_stride
        self.head = resolve(HEADS, head, "head")(
            self.backbone.channels, 1 + num_classes, output_stride=stride, width=head_width, dropout=dropout
        )
        self.balanced = balanced
        self.label_smoothing = label_smoothing
        self.align_corners = align_corners
        self.also_scales = tuple(also_scales)

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w] at the network's grid, for image [B,3,H,W] in [0,1]."""
        return self._look(image)["logits"]

    def forward(self, batch: Batch) -> Outputs:
        """``logits`` [B,1+C,h,w] at the network's grid; with ``also_scales`` those of each scale at its own."""
        return self._look(batch.image)

    def _look(self, image: Tensor) -> Outputs:
        logits: Tensor = self.head(self.backbone(image))
        if not self.also_scales:
            return {"logits": logits}
        outputs = {"logits_1": logits}
        for scale in self.also_scales:
            small = F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)
            outputs[f"logits_{scale:g}"] = self.head(self.backbone(small))
        size = logits.shape[2:]
        enlarged = [F.interpolate(maps, size, mode="bilinear", align_corners=False) for maps in outputs.values()]
        return {"logits": torch.stack(enlarged).amax(0), **outputs}  # the maximum has a loss too, as in DeepLab v2

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(1), at the resolution of the crop, for each scale; unlabelled and void pixels do not count."""
        names = {"logits": "segmentation"} | {name: f"segmentation{name[6:]}" for name in outputs if name != "logits"}
        return {part: self._entropy(outputs[name], batch) for name, part in names.items()}

    def _entropy(self, logits: Tensor, batch: Batch) -> Tensor:
        size = batch.seeds.shape[1:]
        enlarged = F.interpolate(logits.float(), size, mode="bilinear", align_corners=self.align_corners)
        return seed_cross_entropy(enlarged, batch.seeds, balanced=self.balanced, label_smoothing=self.label_smoothing)

    def new_modules(self) -> Iterator[nn.Module]:
        yield self.head
