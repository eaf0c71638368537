"""CLIP-ES (Lin et al. 2023): CAMs of a network that has learned from images and their captions, without any training.

Texts of the tagged classes compete with words for backgrounds; the gradient of a class's probability says where it is,
and the attention between patches what belongs to it. arXiv 2212.09506; numbers in brackets are the equations of
docs/methods/clip_es.md.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbone_method import BackboneMethod
from models.backbones.clip import ClipVit, to_map
from models.backbones.clip_surgery import look_twice, normalised_over_tokens
from models.errors import ConfigurationError
from models.heads.text_cam import Texts
from models.ops.patch_text import surgery_maps
from models.ops.random_walk import BalancedLinks
from models.ops.tagged_pairs import TaggedPairs
from models.options import PositiveCount
from models.structures import Batch, Links, Outputs, StepContext


class ClipEs(BackboneMethod):
    """Its checkpoint comes from ``import_weights`` alone; it localises, ranks classes, and links pixels.

    Args:
        num_classes: foreground classes C.
        backbone: an image tower of CLIP.
        backgrounds: words for what is no class (25 of VOC, 23 of COCO).
        maps: "gradient" of a class's probability, or "patch_text": how well each patch fits its text (ExCEL).
        attention_blocks: last blocks whose attention links pixels (8; ExCEL 6).
        surgery: last blocks that have a second path, for "patch_text" (5).
        on_backbone: options of :class:`models.backbone_method.BackboneMethod`.

    Raises:
        ConfigurationError: another backbone.

    Source: linyq2117/CLIP-ES@3893f81:generate_cams_voc12.py.
    """

    trains = False

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "clip_vit_b16",
        backgrounds: PositiveCount = 25,
        maps: Literal["gradient", "patch_text"] = "gradient",
        attention_blocks: PositiveCount = 8,
        surgery: PositiveCount = 5,
        **on_backbone: Any,
    ) -> None:
        super().__init__(backbone=backbone, **on_backbone)
        if not isinstance(self.backbone, ClipVit):
            raise ConfigurationError(
                f"ClipEs: expected an image tower of CLIP, found backbone '{backbone}'. Remedy: clip_vit_b16."
            )
        self.texts = Texts(num_classes, backgrounds, self.backbone.proj.shape[1])
        self.kind, self.attention_blocks, self.surgery = maps, attention_blocks, surgery

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        """(1) to (4), each from 0 to almost 1, [B,C,h,w]; zero for classes that ``tags`` [B,C] deny.

        Or patch-text maps: (4) and (5) of docs/methods/excel.md.
        """
        if self.kind == "patch_text":
            return self._patch_text(image) * tags[:, :, None, None]
        before = self.backbone.look(image, len(self.backbone.resblocks) - 1)
        maps = image.new_zeros(*tags.shape, *before.grid)
        pairs = TaggedPairs.of(tags)
        for number, channels in enumerate(pairs.each(pairs.channel)):
            if len(channels):
                tokens = before.after[-1][number : number + 1]
                maps[number, channels] = self.texts.maps(self.backbone, tokens, before.grid, channels).maps
        return maps

    def _patch_text(self, image: Tensor) -> Tensor:
        """[B,C,h,w] in [0,1] of all classes, in which all texts compete, whatever the tags."""
        tokens, features = look_twice(self.backbone, image, self.surgery)
        texts = torch.cat([self.texts.classes, self.texts.background])
        maps = surgery_maps(normalised_over_tokens(features).float(), texts)
        return to_map(maps[:, :, : len(self.texts.classes)], tokens.grid)

    def tag_scores(self, image: Tensor) -> Tensor:
        """Image-level logits [B,C]: the class token's cosines to the texts of the classes, times the logit scale."""
        last = self.backbone.ln_post(self.backbone.look(image).after[-1][:, 0])
        cosines = F.normalize(last @ self.backbone.proj, dim=1) @ self.texts.classes.T
        return self.texts.logit_scale.exp() * cosines

    def links(self, image: Tensor) -> Links:
        """(5) and (6): attention between the patches of an image [1,3,H,W], for walks ("clip_es", "excel")."""
        if self.kind == "patch_text":
            tokens, _ = look_twice(self.backbone, image, self.surgery)
        else:
            tokens = self.backbone.look(image, attention=True)
        affinity = tokens.patch_attention(self.attention_blocks)
        return BalancedLinks(affinity[0].float().cpu().numpy(), tokens.grid, self.stride)

    def forward(self, batch: Batch) -> Outputs:
        """The image-level ``logits`` [B,C]."""
        return {"logits": self.tag_scores(batch.image)}

    def losses(self, outputs: Outputs, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Refused: there is nothing to train (ConfigurationError)."""
        raise ConfigurationError(
            "CLIP-ES is not trained. Remedy: its checkpoint from import_weights, `official: clip_es`."
        )
