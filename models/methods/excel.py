"""ExCEL (Yang et al. 2025): a decoder on a frozen CLIP learns from maps of how well each patch fits the texts.

The maps come from a second path through CLIP's last blocks, on which patches attend to what is like them; later what
the decoder has learned of that guides them. CVPR 2025; numbers in brackets are the equations of docs/methods/excel.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from models.backbones.clip import Tokens, to_map
from models.backbones.clip_surgery import normalised_over_tokens, second_features, usual_path
from models.errors import ConfigurationError
from models.frozen_clip_method import FrozenClipMethod
from models.ops.affinity import similar_cells
from models.ops.patch_text import surgery_maps
from models.ops.tagged_pairs import TaggedPairs
from models.options import PositiveCount, ShareBelowOne, StartEpoch
from models.structures import Outputs


class Excel(FrozenClipMethod):
    """Learns from tags alone; it localises and segments. CLIP does not learn.

    Args:
        num_classes: foreground classes C.
        surgery: last blocks that have a second path (5), fewer than there are.
        pairs: affinity of two patches, "centred" (ExCEL) or "product" (WeCLIP).
        threshold: share of a map's maximum above which its boxes lie (VOC 0.79, COCO 0.88); 0: no boxes.
        plain_last: attention maps whose mean counts before the learned affinity does (6).
        affinity_start: epoch from which the decoder guides maps and spread (VOC: 14,000 steps of 4 images).
        on_clip: options of :class:`models.frozen_clip_method.FrozenClipMethod`; ``levels``: all blocks.

    Raises:
        ConfigurationError: a second path of all blocks or more.

    Source: docs/methods/excel.md; zwyang6/ExCEL@2cd7f510d627:model/model_excel.py.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        surgery: PositiveCount = 5,
        pairs: Literal["product", "centred"] = "centred",
        threshold: ShareBelowOne = 0.79,
        plain_last: PositiveCount = 6,
        affinity_start: StartEpoch = 5.29,
        **on_clip: Any,
    ) -> None:
        super().__init__(
            num_classes,
            pairs=pairs,
            threshold=threshold,
            plain_last=plain_last,
            affinity_start=affinity_start,
            **on_clip,
        )
        if surgery >= self.depth:
            raise ConfigurationError(f"Excel.surgery: expected fewer than {self.depth} blocks, found {surgery}.")
        self.surgery = surgery

    def _own_levels(self) -> tuple[int, ...]:
        return tuple(range(1, 1 + self.depth))

    def _tokens(self, image: Tensor, attention: bool = False) -> Tokens:
        """Of all blocks; the attention of those with a second path is a sum over heads, as released."""
        if not attention:
            return super()._tokens(image)
        with self.backbone.held(image):
            seen = usual_path(self.backbone, image, self.surgery)[0]
        after, weights = (tuple(one.float() for one in some) for some in (seen.after, seen.attention))
        return Tokens(after, weights, seen.grid)

    def _decoded(self, tokens: Tokens, image: Tensor) -> Outputs:
        """As there, and the decoder's map F as ``fused`` [B,width,h,w]."""
        maps = self._fused(tokens)
        return {"scores": self.decoder(maps), "affinity": self._affinity(maps), "fused": maps}  # (7)

    def _kept(self, tokens: Tokens) -> Outputs:
        """``before`` [B,S,1+n,D], tokens before each of the S blocks with a second path, ``image_token`` [B,1,D] after
        the last, and ``attention`` [B,L,1+n,1+n] of the last blocks.
        """
        count = max(self.last, self.plain_last)
        return {
            "before": torch.stack(tokens.after[-1 - self.surgery : -1], 1),
            "image_token": tokens.after[-1][:, :1],
            "attention": torch.stack(tokens.attention[-count:], 1),
        }

    def _guide(self, fused: Tensor) -> Tensor:
        with torch.autocast(fused.device.type, enabled=False):  # as of the affinity
            return similar_cells(fused.float(), alone=not self.training)

    def _answers(self, outputs: Outputs, pairs: TaggedPairs, learned: bool) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Patch-text maps M_c of the classes of each image, in which all texts compete, whatever the tags."""
        grid = (outputs["scores"].shape[2], outputs["scores"].shape[3])
        guide = self._guide(outputs["fused"]) if learned else None  # (8)
        features = second_features(self.backbone, outputs["before"].unbind(1), outputs["image_token"], guide)
        texts = torch.cat([self.texts.classes, self.texts.background])
        maps = to_map(surgery_maps(normalised_over_tokens(features).float(), texts), grid)  # (4), (5)
        for number, channels in enumerate(pairs.each(pairs.channel)):
            if len(channels):
                yield number, maps[number, channels], outputs["attention"][number, :, 1:, 1:].float()
