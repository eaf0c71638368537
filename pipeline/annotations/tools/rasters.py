"""Pixels of a shape: where its lines run, and what its outlines hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.annotations.tools.drawn import Bitmap, Floats, Region, Shape
from pipeline.datasets import rle


def in_pixels(outline: Floats, shares: bool, size: tuple[int, int]) -> Floats:
    """An outline [N,2] in pixels of an image of (H, W), to a millionth: a share of 0.1 + 0.2 is not 0.3."""
    return np.round(outline * np.array([size[1], size[0]], np.float64) if shares else outline, 6)


def bounds(shape: Shape, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box around a shape, x1, y1, x2, y2 in pixels; of a bitmap its window, which is not decoded for it."""
    if shape.bitmap is not None:
        (height, width), left, top = shape.bitmap.size, shape.bitmap.left, shape.bitmap.top
        return left, top, left + width, top + height
    points = in_pixels(np.concatenate([shape.outline, *shape.parts]), shape.shares, size)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def tight_box(bitmap: Bitmap) -> tuple[float, float, float, float] | None:
    """The box around the pixels of a bitmap; None where it has none.

    Raises:
        ValueError: it is damaged.
    """
    pixels = bitmap.read()
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    left, top = bitmap.left, bitmap.top
    return float(left + columns[0]), float(top + rows[0]), left + columns[-1] + 1.0, top + rows[-1] + 1.0


def area_pixels(shape: Shape, size: tuple[int, int]) -> Region:
    """The pixels of an area in an image of (H, W): of its outlines together, without those of its holes.

    Outlines are filled as COCO's tools fill polygons. A bitmap is laid where it says, as far as it is in the image.

    Raises:
        ValueError: a bitmap that is damaged, or an outline that reaches far beyond the image.
    """
    if shape.bitmap is None:
        region = _filled((shape.outline, *shape.parts), shape.shares, size)
        return region & ~_filled(shape.holes, shape.shares, size) if shape.holes else region
    window, (height, width) = shape.bitmap.read(), size
    top, left = shape.bitmap.top, shape.bitmap.left
    region = np.zeros(size, bool)
    rows = slice(max(top, 0), min(top + window.shape[0], height))
    columns = slice(max(left, 0), min(left + window.shape[1], width))
    region[rows, columns] = window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return region


def _filled(outlines: Sequence[Floats], shares: bool, size: tuple[int, int]) -> Region:
    try:
        return rle.of_polygons([in_pixels(outline, shares, size).reshape(-1) for outline in outlines], size)
    except ValueError as error:
        raise ValueError(f"{error}, far beyond an image of {size[1]} x {size[0]}") from None


def stroke_pixels(shape: Shape, size: tuple[int, int], width: float) -> Region:
    """The pixels of a stroke in an image of (H, W): those nearer to a pixel of its line than half its width."""
    if shape.bitmap is not None:
        return area_pixels(shape, size)
    from scipy.ndimage import distance_transform_edt  # here: few files have strokes
    from skimage.draw import line

    region = np.zeros(size, bool)
    limit = np.array([size[1] - 1, size[0] - 1])
    at = np.clip(np.floor(in_pixels(shape.outline, shape.shares, size)), 0, limit).astype(int)
    region[at[:, 1], at[:, 0]] = True
    for (x1, y1), (x2, y2) in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
        region[line(y1, x1, y2, x2)] = True
    (left, top), (right, bottom) = np.maximum(at.min(axis=0) - int(width), 0), at.max(axis=0) + int(width) + 1
    part = region[top:bottom, left:right]
    part[:] = distance_transform_edt(~part) < max(width, 1) / 2
    return region
