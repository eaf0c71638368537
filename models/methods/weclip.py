"""WeCLIP (Zhang et al. 2024): single-stage segmentation by a decoder on a frozen CLIP, which also makes its labels.

CLIP's CAMs spread over its attention, later over what the decoder learned of which patches belong together. With a
second frozen encoder it is WeCLIP+ (2025). arXiv 2406.11189; numbers in brackets are the equations of
docs/methods/weclip.md, those of WeCLIP+ of docs/methods/weclip_plus.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.build import build_backbone
from models.backbones.clip import Tokens
from models.frozen_clip_method import FrozenClipMethod, enlarged
from models.heads.token_decoder import LevelFusion
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dice import dice_loss
from models.ops.tagged_pairs import TaggedPairs
from models.options import PositiveCount, Share, ShareBelowOne, StartEpoch, Weight
from models.structures import IGNORE, Batch, Outputs, StepContext


class WeClip(FrozenClipMethod):
    """Learns from tags alone; it localises and segments. CLIP does not learn.

    Its options are those of :class:`models.frozen_clip_method.FrozenClipMethod`, whose defaults are its own.

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/WeCLIP_model/model_attn_aff_voc.py, WeCLIP/scripts/dist_clip_voc.py.
    """

    def _kept(self, tokens: Tokens) -> Outputs:
        """``tokens`` [B,1+n,D] before CLIP's last block, ``attention`` [B,L-1,1+n,1+n] of the blocks before it."""
        before = self.depth - 1
        return {"tokens": tokens.after[before - 1], "attention": torch.stack(tokens.attention[:before], 1)}

    def _answers(self, outputs: Outputs, pairs: TaggedPairs, learned: bool) -> Iterator[tuple[int, Tensor, Tensor]]:
        """CLIP-ES's maps m_c of the classes of each image."""
        grid = (outputs["scores"].shape[2], outputs["scores"].shape[3])
        for number, channels in enumerate(pairs.each(pairs.channel)):
            if len(channels):
                tokens = outputs["tokens"][number : number + 1]
                seen = self.texts.maps(self.backbone, tokens, grid, channels)
                attention = torch.cat([outputs["attention"][number], seen.attention[None]])[:, 1:, 1:].float()
                yield number, self._weighted(seen.maps, outputs["scores"][number], channels), attention

    def _weighted(self, maps: Tensor, scores: Tensor, channels: Tensor) -> Tensor:
        return maps


class WeClipPlus(WeClip):
    """Beside CLIP's last block the decoder reads a second frozen encoder, and predictions take part in the labels.

    Args:
        num_classes, head_width, dropout, affinity_start: as in :class:`models.frozen_clip_method.FrozenClipMethod`.
        second: name of the second encoder (``models.backbones``).
        mutual: weight of what each side learns from the other's predictions (0.1).
        dice: weight of the Dice loss (1).
        own_labels: epoch from which sure predictions replace labels (VOC: 18,000 steps of 4 images).
        sure: probability above which they do (0.75).
        on_weclip: options of :class:`models.frozen_clip_method.FrozenClipMethod` (WeCLIP+ on VOC: ``threshold`` 0; on
            COCO: ``threshold`` 0.7, ``last`` 8).

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP+/WeCLIP_Plus/model_attn_aff_voc.py, WeCLIP+/scripts/dist_clip_voc.py.
    """

    from_init: ClassVar[Sequence[str]] = ("texts", "second")
    starts: ClassVar[Mapping[str, Sequence[str]]] = {"own_labels": ()}

    def __init__(
        self,
        num_classes: int,
        *,
        second: str = "timm/vit_small_patch14_dinov2",
        head_width: PositiveCount = 256,
        dropout: ShareBelowOne = 0.1,
        affinity_start: StartEpoch = 0.0,
        mutual: Weight = 0.1,
        dice: Weight = 1.0,
        own_labels: StartEpoch = 6.8,
        sure: Share = 0.75,
        **on_weclip: Any,
    ) -> None:
        super().__init__(
            num_classes,
            head_width=head_width,
            dropout=dropout,
            affinity_start=affinity_start,
            **on_weclip,
        )
        self.second: Any = build_backbone(second)
        self.second.hold()
        self.second_fusion = LevelFusion(self.second.channels["layer4"], 1, head_width, dropout)
        self.mutual, self.dice, self.own_labels, self.sure = mutual, dice, own_labels, sure

    def _own_levels(self) -> tuple[int, ...]:
        return (self.depth,)

    def _decoded(self, tokens: Tokens, image: Tensor) -> Outputs:
        """As there, the scores the mean of both sides' ``scores_clip`` and ``scores_second``."""
        maps, other = self._fused(tokens), self._seen_by_second(image)
        other = F.interpolate(other, maps.shape[2:], mode="bilinear", align_corners=False)
        sides = {"scores_clip": self.decoder(maps), "scores_second": self.decoder(other)}
        affinity = self._affinity(torch.cat([maps, other], 1))
        return sides | {"scores": sum(sides.values()) / 2, "affinity": affinity}

    def _seen_by_second(self, image: Tensor) -> Tensor:
        """Its last features, of the image shrunk to whole patches, through a perceptron: [B,width,h2,w2]."""
        patch = self.second.strides["layer4"]
        whole = [max(1, length // patch) * patch for length in image.shape[2:]]
        seen = self.second(F.interpolate(image, whole, mode="bilinear", align_corners=False))["layer4"]
        fused: Tensor = self.second_fusion([seen])
        return fused

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(1) there: L = L_seg + affinity L_aff + mutual (both sides) + dice Dice."""
        labels = self._labels(outputs, batch, context)
        parts = {"affinity": self.affinity * self._affinity_loss(outputs, labels)}
        inside = batch.seeds != IGNORE
        names = ("scores", "scores_clip", "scores_second")
        mean, clip, second = (enlarged(outputs[name], labels) for name in names)
        if context.epoch >= self.own_labels:
            surest, own = mean.detach().softmax(1).max(1)
            labels = own.where((surest > self.sure) & inside, labels)
        mutual = [
            seed_cross_entropy(one, other.detach().argmax(1).where(inside, IGNORE), balanced=True)
            for one, other in ((clip, second), (second, clip))
        ]
        return parts | {
            "segmentation": seed_cross_entropy(mean, labels, balanced=True),
            "mutual": self.mutual * (mutual[0] + mutual[1]),
            "dice": self.dice * dice_loss(mean, labels),  # (2) there
        }

    def _weighted(self, maps: Tensor, scores: Tensor, channels: Tensor) -> Tensor:
        """CAMs [K,h,w] times the probabilities of their classes."""
        return maps * scores.float().softmax(0)[1 + channels]

    def new_modules(self) -> Iterator[nn.Module]:
        yield from super().new_modules()
        yield self.second_fusion
