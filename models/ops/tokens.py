"""What pages on a vision transformer read of it: maps of patch tokens, and the class token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models.errors import ConfigurationError


@dataclass(frozen=True, eq=False)
class TokenMaps:
    """What a transformer says of images.

    Attributes:
        patches: [B,D,h,w], after the last norm.
        early: [B,D,h,w], after an earlier block, not normalised.
        image: [B,D], the class token after the last norm.
    """

    patches: Tensor
    early: Tensor
    image: Tensor


def token_maps(backbone: Any, image: Tensor, depth: int = 3) -> TokenMaps:
    """Read a backbone with ``tokens`` (``models.backbones.timm_vit.TimmVit``).

    Args:
        backbone: it has a class token.
        image: float [B,3,H,W] in [0,1].
        depth: which block is the early one, counted from the end: 1 is the last.

    Raises:
        ConfigurationError: the backbone has fewer blocks.
    """
    tokens = backbone.tokens(image)[0]
    if depth >= len(tokens):
        raise ConfigurationError(
            f"expected early as one of the {len(tokens) - 1} blocks of {backbone.name}, counted from the end, found "
            f"{depth}. Remedy: early: {len(tokens) - 1} or less."
        )
    grid = tuple(-(-length // backbone.patch) for length in image.shape[2:])
    last = backbone.network.norm(tokens[-1])
    maps = (one[:, backbone.prefix :].transpose(1, 2).unflatten(2, grid) for one in (last, tokens[-depth]))
    patches, early = (one.contiguous() for one in maps)
    return TokenMaps(patches, early, last[:, 0])
