"""CLIP with a second path beside its last blocks, whose patches stay where their texts are (CLIP Surgery, ExCEL)."""

from __future__ import annotations

from collections.abc import Sequence
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
        guide: see :func:`second_features`.

    Returns:
        What :func:`usual_path` and :func:`second_features` do.
    """
    tokens, before = usual_path(tower, image, depth)
    return tokens, second_features(tower, before, tokens.after[-1], guide)


def usual_path(tower: ClipVit, image: Tensor, depth: int = 5) -> tuple[Tokens, list[Tensor]]:
    """The usual tokens, and those [B,1+n,D] before each of the last ``depth`` blocks.

    Args:
        tower, image, depth: as in :func:`look_twice`.

    Returns:
        Tokens with their attention: means over heads of the first blocks, *sums* over heads of the last ``depth``.
    """
    first = len(tower.resblocks) - depth
    usual = tower.look(image, first, attention=True)
    tokens = usual.after[-1] if first else tower.embed(image)[0]
    after, attention, before = list(usual.after), list(usual.attention), []
    some: Any = tower.resblocks[first:]
    for block in some:
        before.append(tokens)
        tokens, weights = block.with_summed_attention(tokens)
        after.append(tokens)
        attention.append(weights)
    return Tokens(tuple(after), tuple(attention), usual.grid), before


def second_features(tower: ClipVit, before: Sequence[Tensor], last: Tensor, guide: Tensor | None = None) -> Tensor:
    """Features [B,1+n,E] in the space of texts: the usual class token's, and the patches' of the second path.

    Args:
        tower: CLIP's image tower.
        before: usual tokens [B,1+n,D] before each of the last blocks, which have the second path.
        last: usual tokens [B,1+n,D], or their class token alone, after the last block.
        guide: [B,n,n], added to the second path's attention between the n patches
            (``models.ops.affinity.similar_cells`` of a decoder's features).

    Source: docs/methods/excel.md, (1) to (3); zwyang6/ExCEL@2cd7f510d627:clip/clip_surgery_model.py.
    """
    second = before[0]
    some: Any = tower.resblocks[-len(before) :]
    for block, tokens in zip(some, before, strict=True):
        second = block.second_path(tokens, second, guide)
    joined = torch.cat([last[:, :1], second[:, 1:]], 1)
    features: Tensor = tower.ln_post(joined) @ tower.proj
    return features


def normalised_over_tokens(features: Tensor) -> Tensor:
    """Features [B,1+n,E], every channel divided by its length over the tokens (as released: not over channels)."""
    lengths: Tensor = features.norm(dim=1, keepdim=True)
    return features / lengths
