"""CAMs of the views of an image, merged as ToCo and DuPL merge those from which they learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.multiscale import scaled_views
from models.ops.tagged_pairs import TaggedPairs

EPS = 1e-5


@torch.no_grad()
def own_cams(
    look: Callable[[Tensor], Sequence[Tensor]], image: Tensor, tags: Tensor, scales: Sequence[float]
) -> list[Tensor]:
    """CAMs of a batch's tagged classes, over scales and mirror images: :func:`merged_cams`.

    Args:
        look: from images [N,3,h,w] to one or more kinds of class maps [N,C,h',w'], not rectified.
        image: [B,3,H,W]. tags: bool [B,C].
        scales: of the image.

    Returns:
        [B,C,H,W] in [0,1) for each kind; 0 for classes without a tag.
    """
    pairs, size = TaggedPairs.of(tags), image.shape[2:]
    seen = [look(view) for view in scaled_views(image, scales, flip=True)]
    cams = []
    for views in zip(*seen, strict=True):
        tagged = (maps.float().unflatten(0, (2, -1))[(slice(None), *pairs.index)].flatten(0, 1) for maps in views)
        merged = merged_cams([maps.unsqueeze(1) for maps in tagged], size)[:, 0]  # [P,H,W]
        cams.append(merged.new_zeros(*tags.shape, *size).index_put(pairs.index, merged))
    return cams


def merged_cams(views: Iterable[Tensor], size: Sequence[int], eps: float = EPS) -> Tensor:
    """The larger of image and mirror image at each scale, summed over scales, stretched to [0,1].

    Args:
        views: class maps [2N,C,h,w] of each scale, not rectified; the N mirror images after the images.
        size: (H, W) of the image.
        eps: keeps the division finite.

    Returns:
        [N,C,H,W] in [0,1); a map that is nowhere positive is 0.

    Source: rulixiang/ToCo@e13514d:utils/camutils.py (multi_scale_cam2).
    """
    enlarged = (F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False) for maps in views)
    pairs = (maps.chunk(2) for maps in enlarged)
    summed = sum(torch.maximum(plain, mirrored.flip(-1)).relu() for plain, mirrored in pairs)
    assert isinstance(summed, Tensor)
    flat = summed.flatten(2)
    low, high = flat.amin(2)[..., None, None], flat.amax(2)[..., None, None]
    return (summed - low) / (high - low + eps)
