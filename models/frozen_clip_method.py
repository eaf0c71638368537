"""What single-stage pages on a frozen CLIP have in common (WeCLIP, ExCEL): CLIP makes the labels, and a decoder of its
tokens learns them.

How CLIP answers to the texts of the classes is a page's; that the maps spread over its attention, later over what the
decoder has learned too, is the same. Equations: docs/methods/weclip.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.clip import ClipVit, Tokens
from models.errors import ConfigurationError
from models.heads.text_cam import Texts
from models.heads.token_decoder import LevelFusion, TokenDecoder
from models.losses.affinity import dense_affinity_loss
from models.losses.cross_entropy import seed_cross_entropy
from models.online_label_method import OnlineLabelMethod
from models.ops.affinity import centred_affinity, dense_pair_labels, product_affinity, within
from models.ops.attention_choice import chosen_attention
from models.ops.attention_spread import spread_in_boxes
from models.ops.online_labels import complete_labels
from models.ops.pixel_adaptive import PixelAdaptive
from models.ops.tagged_pairs import TaggedPairs
from models.options import BlockNumbers, PositiveCount, ShareBelowOne, StartEpoch, Weight
from models.structures import IGNORE, Batch, Outputs, StepContext

ITERATIONS = 20
"""Of PAR on the online labels."""


class FrozenClipMethod(OnlineLabelMethod):
    """A page whose labels come from a CLIP that does not learn; its decoder segments.

    Args:
        num_classes: foreground classes C.
        backbone: an image tower of CLIP.
        backgrounds: words for what is no class (VOC 25, COCO 23).
        levels: blocks, counted from 1, whose patches the decoder reads; None for those of the page.
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
        on_online: options of :class:`models.online_label_method.OnlineLabelMethod`.

    Raises:
        ConfigurationError: a backbone that is no CLIP, or levels that it does not have.
    """

    reads_texts = True
    from_init: ClassVar[Sequence[str]] = ("texts",)
    starts: ClassVar[Mapping[str, Sequence[str]]] = {"affinity_start": ()}

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
        **on_online: Any,
    ) -> None:
        super().__init__(backbone=backbone, **on_online)
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
            raise ConfigurationError(
                f"{type(self).__name__}.levels: expected blocks up to {self.depth}, found {max(self.levels)}."
            )
        self.fusion = LevelFusion(channels, len(self.levels), head_width, dropout)
        self.decoder = TokenDecoder(head_width, 1 + num_classes, decoder_blocks, heads)
        self.centred, self.threshold, self.radius = pairs == "centred", threshold, radius
        self.last, self.plain_last = last, plain_last
        self.affinity, self.affinity_start = affinity, affinity_start
        self.refine = PixelAdaptive("par", ITERATIONS)

    def _own_levels(self) -> tuple[int, ...]:
        return tuple(range(1, self.depth))

    def look(self, image: Tensor) -> Outputs:
        """``scores`` [B,1+C,h,w], ``affinity`` [B,n,n] between the n patches, and what labels are made of."""
        tokens = self._tokens(image, attention=True)
        return self._decoded(tokens, image) | self._kept(tokens)

    def _kept(self, tokens: Tokens) -> Outputs:
        """What labels are made of."""
        raise NotImplementedError

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
        return {"scores": self.decoder(maps), "affinity": self._affinity(maps)}

    def _affinity(self, maps: Tensor) -> Tensor:
        """Between all patches of maps [B,D,h,w], float32 [B,n,n].

        Outside training each image stands alone, so that its CAMs do not depend on its neighbours in the batch.
        """
        with torch.autocast(maps.device.type, enabled=False):  # of half precision the loss is a sum beyond its range
            maps = maps.float()
            return centred_affinity(maps, alone=not self.training) if self.centred else product_affinity(maps)

    def forward(self, batch: Batch) -> Outputs:
        """Those of :meth:`look`."""
        return self.look(batch.image)

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """(7): L = L_seg + affinity L_aff."""
        labels = self._labels(outputs, batch, context)
        return {
            "segmentation": seed_cross_entropy(enlarged(outputs["scores"], labels), labels, balanced=True),  # (5)
            "affinity": self.affinity * self._affinity_loss(outputs, labels),
        }

    def _affinity_loss(self, outputs: Outputs, labels: Tensor) -> Tensor:
        grid = outputs["scores"].shape[2:]
        cells = F.interpolate(labels[:, None].float(), grid, mode="nearest")[:, 0].long()
        same, different = dense_pair_labels(cells)
        near = within((grid[0], grid[1]), self.radius, cells.device)
        return dense_affinity_loss(outputs["affinity"], same & near, different & near)  # (6)

    def _labels(self, outputs: Outputs, batch: Batch, context: StepContext) -> Tensor:
        """int64 [B,H,W], void beyond the image."""
        maps = self._spread_cams(outputs, batch.tags, context.epoch >= self.affinity_start)
        maps = F.interpolate(maps, batch.image.shape[2:], mode="bilinear", align_corners=False)
        labels = complete_labels(maps, batch.image, batch.tags, batch.seeds != IGNORE, self.refine)
        return self.trusted(labels, outputs["scores"], context)

    @torch.no_grad()
    def _spread_cams(self, outputs: Outputs, tags: Tensor, learned: bool) -> Tensor:
        """(4), [B,C,h,w] in [0,1]; 0 for classes without a tag."""
        pairs, grid = TaggedPairs.of(tags), outputs["scores"].shape[2:]
        sources, weights = [], []
        for number, maps, attention in self._answers(outputs, pairs, learned):
            weights.append(self._weight(attention, outputs["affinity"][number], learned))
            sources.append(maps)
        spread = outputs["scores"].new_zeros(*tags.shape, *grid, dtype=torch.float32)
        if weights:
            counts = [count for count in pairs.counts if count]
            spread[pairs.index] = spread_in_boxes(torch.cat(sources), torch.stack(weights), counts, self.threshold)
        return spread

    def _answers(self, outputs: Outputs, pairs: TaggedPairs, learned: bool) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Of each image with tags: its number, maps [K,h,w] of its classes, attention [L,n,n] between its patches."""
        raise NotImplementedError

    def _weight(self, attention: Tensor, affinity: Tensor, learned: bool) -> Tensor:
        """A [n,n] of attention [L,n,n]."""
        if learned:
            return chosen_attention(attention[-self.last :], affinity).weight  # (3)
        return attention[-self.plain_last :].mean(0)  # (2)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """(4) over the learned affinity, [B,C,h,w] in [0,1], zero for classes that ``tags`` [B,C] deny."""
        return self._spread_cams(self.look(image), tags, learned=True)

    def scores(self, image: Tensor) -> Tensor:
        """Logits [B,1+C,h,w]."""
        scores: Tensor = self._decoded(self._tokens(image), image)["scores"]
        return scores

    def new_modules(self) -> Iterator[nn.Module]:
        yield from (self.fusion, self.decoder)


def enlarged(scores: Tensor, labels: Tensor) -> Tensor:
    """Logits [B,1+C,h,w] at the pixels of labels [B,H,W], float32."""
    return F.interpolate(scores.float(), labels.shape[1:], mode="bilinear", align_corners=False)
