"""Bilinear resizing of score maps without torch (for the stages that need no network)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


def resize_bilinear(maps: Scores, size: tuple[int, int]) -> Scores:
    """Resize maps bilinearly, half-pixel centres, no antialiasing.

    The same numbers as ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` up to rounding.

    Args:
        maps: float32 [K,h,w], K may be 0.
        size: (H, W) in pixels.

    Returns:
        float32 [K,H,W]; ``maps`` itself where the size is right already.
    """
    if maps.ndim != 3:
        raise ValueError(f"maps must be [K,h,w], found shape {maps.shape}")
    if maps.shape[1:] == tuple(size):
        return maps
    return _resize_axis(_resize_axis(maps, size[1], axis=2), size[0], axis=1)


def _resize_axis(maps: Scores, length: int, axis: int) -> Scores:
    """Linear interpolation along one axis; coordinates before the first centre are clamped to it, as in torch."""
    source = maps.shape[axis]
    position = np.maximum((np.arange(length) + 0.5) * (source / length) - 0.5, 0)
    left = np.minimum(position.astype(np.intp), source - 1)
    right = np.minimum(left + 1, source - 1)
    weight = (position - left).astype(maps.dtype).reshape([-1 if a == axis else 1 for a in range(3)])
    low = maps.take(left, axis)
    resized: Scores = low + (maps.take(right, axis) - low) * weight
    return resized
