"""CAMs of the views of an image, merged as ToCo and DuPL merge those from which they learn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, maximum
from torch.nn import functional as F

EPS = 1e-5


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
    summed = sum(maximum(plain, mirrored.flip(-1)).relu() for plain, mirrored in pairs)
    assert isinstance(summed, Tensor)
    flat = summed.flatten(2)
    low, high = flat.amin(2)[..., None, None], flat.amax(2)[..., None, None]
    return (summed - low) / (high - low + eps)
