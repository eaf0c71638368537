"""Bilinear resizing of score maps without torch (for the stages that need no network)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


def resize_bilinear(maps: Scores, size: tuple[int, int]) -> Scores:
    """Resize maps bilinearly, half-pixel centres, no antialiasing.

    The same numbers as ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` but for the last bit.

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
    """Linear interpolation along one axis; coordinates before the first centre are clamped to it.

    The scale is float32 and the coordinate rounded to float32 once, as torch's fused multiply-add does it, so that
    the weights are the same numbers.
    """
    source = maps.shape[axis]
    scale = float(np.float32(source / length))
    position = np.maximum(((np.arange(length) + 0.5) * scale - 0.5).astype(np.float32), 0)
    left = np.minimum(position.astype(np.intp), source - 1)
    right = np.minimum(left + 1, source - 1)
    weight = (position - left).astype(maps.dtype).reshape([-1 if a == axis else 1 for a in range(3)])
    low = maps.take(left, axis)
    resized: Scores = low + (maps.take(right, axis) - low) * weight
    return resized


def enlarge_cells(labels: npt.NDArray[np.int32], stride: int, size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Repeat each cell of a label map [h,w] ``stride`` times both ways; the part that covers (H, W)."""
    pixels = labels.repeat(stride, 0).repeat(stride, 1)[: size[0], : size[1]]
    return np.ascontiguousarray(pixels)
