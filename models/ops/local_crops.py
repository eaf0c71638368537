"""Small crops of an image whose centres lie where a CAM is unsure or sees background (ToCo)."""

from __future__ import annotations

import torch
from torch import Tensor

BACKGROUND_LEVEL, UNSURE_LEVEL, OBJECT_LEVEL = 0, 1, 2
OBJECT_SHARE = 0.2
"""Mean level of a crop above which it counts as one of an object."""


def certainty_levels(cams: Tensor, tags: Tensor, high: float | Tensor, low: float) -> Tensor:
    """0 where no tagged class is above ``low``, 2 where one reaches ``high``, 1 between: int64 [N,H,W].

    Args:
        cams: [N,C,H,W] in [0,1]. tags: bool or float [N,C].
        high, low: scores, low below high; the high one may be [N], one for each image.

    Source: rulixiang/ToCo@e13514d:utils/camutils.py (cam_to_roi_mask2).
    """
    best = (cams * tags[:, :, None, None]).amax(1)
    upper = high[:, None, None] if torch.is_tensor(high) else high
    return (best > low).long() * UNSURE_LEVEL + (best >= upper) * (OBJECT_LEVEL - UNSURE_LEVEL)


def corner_places(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns in which a crop of ``side`` pixels of an image (H, W) may begin; not at its far end."""
    return (size[0] - side // 2 * 2, size[1] - side // 2 * 2)


def draw_corners(levels: Tensor, side: int, crops: int, draws: Tensor) -> Tensor:
    """Top left corners (y, x) of different crops, of those whose centre is background or unsure.

    Where an image has fewer of them than ``crops``, all its places count.

    Args:
        levels: int64 [N,H,W] of :func:`certainty_levels`.
        side: of a crop in pixels.
        crops: how many of an image.
        draws: float [N,P] in (0,1] for the P places of :func:`corner_places`, row by row: the largest are taken.

    Returns:
        int64 [N,crops,2].

    Source: rulixiang/ToCo@e13514d:utils/camutils.py (crop_from_roi_neg).
    """
    rows, columns = corner_places((levels.shape[1], levels.shape[2]), side)
    half = side // 2
    welcome = (levels[:, half : half + rows, half : half + columns] <= UNSURE_LEVEL).flatten(1)
    welcome = welcome | (welcome.sum(1, keepdim=True) < crops)
    places = (draws * welcome).topk(crops, dim=1).indices
    return torch.stack([places.div(columns, rounding_mode="floor"), places % columns], -1)


def crops_at(maps: Tensor, corners: Tensor, side: int) -> Tensor:
    """Crops [K,N,...,side,side] of maps [N,...,H,W] with their top left pixels at corners [N,K,2]."""
    steps = torch.arange(side, device=maps.device)
    rows, columns = (corners[..., axis, None] + steps for axis in (0, 1))  # [N,K,side]
    images = torch.arange(len(maps), device=maps.device)[:, None, None, None]
    cut = maps.movedim((-2, -1), (1, 2))[images, rows[..., :, None], columns[..., None, :]]  # [N,K,side,side,...]
    return cut.movedim((2, 3), (-2, -1)).transpose(0, 1)


def with_objects(levels: Tensor, corners: Tensor, side: int) -> Tensor:
    """Which crops have objects, by their mean level, in which sure pixels count twice: bool [N,K].

    Args:
        levels: int64 [N,H,W]. corners: int64 [N,K,2]. side: of a crop.
    """
    total = crops_at(levels, corners, side).sum((-2, -1)).T
    return total / side**2 > OBJECT_SHARE
