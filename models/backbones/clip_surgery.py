"""CLIP with a second path beside its last blocks, whose patches stay where their texts are (CLIP Surgery, ExCEL)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.backbones.clip import ClipVit, Tokens


def look_twice(tower: ClipVit, image: Tensor, depth: int = 5, guide: Tensor | None = None) -> tuple[Tokens, Tensor]:
    """The usual path through the tower, and the features of the second one.

    Args:
        tower: CLIP's image tower.
        image: float32 RGB [B,3,H,W] in [0,1].
        depth: the last blocks that have a second path, 1 or more (5).
        guide: [B,n,n], added to the second path's attention between the n patches
            (``models.ops.affinity.similar_cells`` of a decoder's features).

    Returns:
        The usual tokens, with their attention: means over heads of the first blocks, *sums* over heads of the last
        ``depth``; and features [B,1+n,E] in the space of texts: the usual class token's and the second path's patches'.

    Source: docs/methods/excel.md, (1) to (3); zwyang6/ExCEL@2cd7f510d627:clip/clip_surgery_model.py.
    """
    first = len(tower.resblocks) - depth
    usual = tower.look(image, first, attention=True)
    tokens = second = usual.after[-1] if first else tower.embed(image)[0]
    after, attention = list(usual.after), list(usual.attention)
    some: Any = tower.resblocks[first:]
    for block in some:
        tokens, second, weights = block.with_second_path(tokens, second, guide)
        after.append(tokens)
        attention.append(weights)
    joined = torch.cat([tokens[:, :1], second[:, 1:]], 1)
    features = tower.ln_post(joined) @ tower.proj
    return Tokens(tuple(after), tuple(attention), usual.grid), features


def normalised_over_tokens(features: Tensor) -> Tensor:
    """Features [B,1+n,E], every channel divided by its length over the tokens (as released: not over channels)."""
    lengths: Tensor = features.norm(dim=1, keepdim=True)
    return features / lengths
