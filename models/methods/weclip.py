"""WeCLIP (Zhang et al. 2024): single-stage segmentation by a decoder on a frozen CLIP, which also makes its labels.

CLIP's CAMs spread over its attention, later over what the decoder learned of which patches belong together. With a
second frozen encoder it is WeCLIP+ (2025). arXiv 2406.11189; numbers in brackets are the equations of
docs/methods/weclip.md, those of WeCLIP+ of docs/methods/weclip_plus.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.backbones.build import build_backbone
from models.backbones.clip import ClipVit, Tokens
from models.errors import ConfigurationError
from models.heads.text_cam import TextMaps, Texts, text_maps
from models.heads.token_decoder import LevelFusion, TokenDecoder
from models.losses.affinity import dense_affinity_loss
from models.losses.cross_entropy import seed_cross_entropy
from models.losses.dice import dice_loss
from models.ops.affinity import centred_affinity, dense_pair_labels, product_affinity, within
from models.ops.attention_choice import chosen_attention
from models.ops.attention_spread import spread_in_boxes
from models.ops.online_labels import complete_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.tagged_pairs import TaggedPairs
from models.options import BlockNumbers, PositiveCount, Share, ShareBelowOne, StartEpoch, Weight
from models.structures import IGNORE, Batch, Outputs, StepContext

ITERATIONS = 20
"""Of PAR on the online labels."""
PAIRS = {"product": product_affinity, "centred": centred_affinity}


class WeClip(BackboneMethod):
    """Learns from tags alone; it localises and segments. CLIP does not learn.

    Args:
        num_classes: foreground classes C.
        backbone: an image tower of CLIP.
        backgrounds: words for what is no class (VOC 25, COCO 23).
        levels: blocks, counted from 1, whose patches the decoder reads; None for all but the last.
        head_width: channels of the decoder (256).
        decoder_blocks: its transformer blocks (3).
        heads: of each transformer block (8).
        dropout: of whole channels before them.
        pairs: affinity of two patches, "product" (WeCLIP) or "centred" (ExCEL).
        threshold: share of a CAM's maximum above which its boxes lie (VOC 0.4, COCO 0.7); 0: no boxes.
        last: attention maps that are looked at once the learned affinity counts (VOC 6, COCO 10).
        plain_last: those whose mean counts before that (8).
        radius: patches between which pairs learn (8).
        affinity: weight of that loss (0.1).
        affinity_start: epoch from which labels spread over the learned affinity (VOC: 15,000 steps of 4 images).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.

    Raises:
        ConfigurationError: a backbone that is no CLIP.

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/WeCLIP_model/model_attn_aff_voc.py, WeCLIP/scripts/dist_clip_voc.py.
    """

    reads_texts = True
    from_init: ClassVar[Sequence[str]] = ("texts",)

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "clip_vit_b16",
        backgrounds: PositiveCount = 25,
        levels: BlockNumbers | None = None,
        head_width: PositiveCount = 256,
        decoder_blocks: PositiveCount = 3,
        heads: PositiveCount = 8,
        dropout: ShareBelowOne = 0.1,
        pairs: Literal["product", "centred"] = "product",
        threshold: ShareBelowOne = 0.4,
        last: PositiveCount = 6,
        plain_last: PositiveCount = 8,
        radius: PositiveCount = 8,
        affinity: Weight = 0.1,
        affinity_start: StartEpoch = 5.67,
        **on_backbone: Any,
    ) -> None:
        super().__init__(backbone=backbone, **on_backbone)
        if not isinstance(self.backbone, ClipVit):
            raise ConfigurationError(
                f"{type(self).__name__}: expected an image tower of CLIP, found backbone '{backbone}'. "
                "Remedy: clip_vit_b16."
            )
        self.backbone.hold()
        channels, self.depth = self.backbone.channels["layer4"], len(self.backbone.resblocks)
        self.texts = Texts(num_classes, backgrounds, self.backbone.proj.shape[1])
        self.levels = tuple(levels or self._own_levels())
        if max(self.levels) > self.depth:
            raise ConfigurationError(f"weclip.levels: expected blocks up to {self.depth}, found {max(self.levels)}.")
        self.fusion = LevelFusion(channels, len(self.levels), head_width, dropout)
        self.decoder = TokenDecoder(head_width, 1 + num_classes, decoder_blocks, heads)
        self.pair_affinity, self.threshold, self.radius = PAIRS[pairs], threshold, radius
        self.last, self.plain_last = last, plain_last
        self.affinity, self.affinity_start = affinity, affinity_start
        self.refine = PixelAdaptive("par", ITERATIONS)

    def _own_levels(self) -> tuple[int, ...]:
        return tuple(range(1, self.depth))

    def look(self, image: Tensor) -> Outputs:
        """``scores`` [B,1+C,h,w], ``affinity`` [B,n,n] between the n patches, and what labels are made of: ``tokens``
        [B,1+n,D] before CLIP's last block, ``attention`` [B,L-1,1+n,1+n] of the blocks before it.
        """
        tokens = self._tokens(image, attention=True)
        before = self.depth - 1
        stacked = {"tokens": tokens.after[before - 1], "attention": torch.stack(tokens.attention[:before], 1)}
        return self._decoded(tokens, image) | stacked

    def _tokens(self, image: Tensor, attention: bool = False) -> Tokens:
        """Of all blocks but the last, or of all, where the decoder reads that one."""
        with self.backbone.held(image):
            seen = self.backbone.look(image, max(self.depth - 1, *self.levels), attention)
        after, weights = (tuple(one.float() for one in some) for some in (seen.after, seen.attention))
        return Tokens(after, weights, seen.grid)

    def _fused(self, tokens: Tokens) -> Tensor:
        """F, [B,width,h,w]."""
        fused: Tensor = self.fusion([tokens.maps(level - 1) for level in self.levels])
        return fused

    def _decoded(self, tokens: Tokens, image: Tensor) -> Outputs:
        """``scores``, and ``affinity`` (1)."""
        maps = self._fused(tokens)
        return {"scores": self.decoder(maps), "affinity": self.pair_affinity(maps.float())}

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`."""
        return self.look(batch.image)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(7): L = L_seg + affinity L_aff."""
        labels = self._labels(outputs, batch, context.epoch >= self.affinity_start)
        return {
            "segmentation": seed_cross_entropy(_enlarged(outputs["scores"], labels), labels, balanced=True),  # (5)
            "affinity": self.affinity * self._affinity_loss(outputs, labels),
        }

    def _affinity_loss(self, outputs: Outputs, labels: Tensor) -> Tensor:
        grid = outputs["scores"].shape[2:]
        cells = F.interpolate(labels[:, None].float(), grid, mode="nearest")[:, 0].long()
        same, different = dense_pair_labels(cells)
        near = within((grid[0], grid[1]), self.radius, cells.device)
        return dense_affinity_loss(outputs["affinity"], same & near, different & near)  # (6)

    def _labels(self, outputs: Outputs, batch: Batch, learned: bool) -> Tensor:
        """int64 [B,H,W], void beyond the image."""
        maps = self._spread_cams(outputs, batch.tags, learned)
        maps = F.interpolate(maps, batch.image.shape[2:], mode="bilinear", align_corners=False)
        return complete_labels(maps, batch.image, batch.tags, batch.seeds != IGNORE, self.refine)

    @torch.no_grad()
    def _spread_cams(self, outputs: Outputs, tags: Tensor, learned: bool) -> Tensor:
        """(4), [B,C,h,w] in [0,1]; 0 for classes without a tag."""
        grid = (outputs["scores"].shape[2], outputs["scores"].shape[3])
        pairs = TaggedPairs.of(tags)
        sources, weights = [], []
        for number, channels in enumerate(pairs.each(pairs.channel)):
            if len(channels):
                seen = self._text_maps(outputs["tokens"][number : number + 1], grid, channels)
                attention = torch.cat([outputs["attention"][number], seen.attention[None]])[:, 1:, 1:].float()
                weights.append(self._weight(attention, outputs["affinity"][number], learned))
                sources.append(self._weighted(seen.maps, outputs["scores"][number], channels))
        spread = outputs["scores"].new_zeros(*tags.shape, *grid, dtype=torch.float32)
        if weights:
            counts = [count for count in pairs.counts if count]
            spread[pairs.index] = spread_in_boxes(torch.cat(sources), torch.stack(weights), counts, self.threshold)
        return spread

    def _text_maps(self, tokens: Tensor, grid: tuple[int, int], channels: Tensor) -> TextMaps:
        """CLIP-ES's maps m_c of the classes of one image."""
        tower, texts = self.backbone, torch.cat([self.texts.classes[channels], self.texts.background])
        block, scale = tower.resblocks[-1], self.texts.logit_scale
        return text_maps(block, tower.ln_post, tower.proj, tokens, grid, texts, scale, len(channels))

    def _weight(self, attention: Tensor, affinity: Tensor, learned: bool) -> Tensor:
        """A [n,n] of attention [L,n,n]."""
        if learned:
            return chosen_attention(attention[-self.last :], affinity).weight  # (3)
        return attention[-self.plain_last :].mean(0)  # (2)

    def _weighted(self, maps: Tensor, scores: Tensor, channels: Tensor) -> Tensor:
        return maps

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """(4) over the learned affinity, [B,C,h,w] in [0,1], zero for classes that ``tags`` [B,C] deny."""
        return self._spread_cams(self.look(image), tags, learned=True)

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w]."""
        scores: Tensor = self._decoded(self._tokens(image), image)["scores"]
        return scores

    def new_modules(self) -> Iterator[nn.Module]:
        yield from (self.fusion, self.decoder)


class WeClipPlus(WeClip):
    """Beside CLIP's last block the decoder reads a second frozen encoder, and predictions take part in the labels.

    Args:
        num_classes, head_width, dropout, affinity_start: as in :class:`WeClip`.
        second: name of the second encoder (``models.backbones``).
        mutual: weight of what each side learns from the other's predictions (0.1).
        dice: weight of the Dice loss (1).
        own_labels: epoch from which sure predictions replace labels (VOC: 18,000 steps of 4 images).
        sure: probability above which they do (0.75).
        on_weclip: options of :class:`WeClip` (WeCLIP+ on VOC: ``threshold`` 0; on COCO: ``threshold`` 0.7, ``last`` 8).

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP+/WeCLIP_Plus/model_attn_aff_voc.py, WeCLIP+/scripts/dist_clip_voc.py.
    """

    from_init: ClassVar[Sequence[str]] = ("texts", "second")

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
        affinity = self.pair_affinity(torch.cat([maps, other], 1).float())
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
        labels = self._labels(outputs, batch, context.epoch >= self.affinity_start)
        parts = {"affinity": self.affinity * self._affinity_loss(outputs, labels)}
        inside = batch.seeds != IGNORE
        names = ("scores", "scores_clip", "scores_second")
        mean, clip, second = (_enlarged(outputs[name], labels) for name in names)
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


def _enlarged(scores: Tensor, labels: Tensor) -> Tensor:
    return F.interpolate(scores.float(), labels.shape[1:], mode="bilinear", align_corners=False)
