"""The pictures of the gallery: photographs, and transparent layers that the page lays over them.

``file`` is where a picture goes: a path, or a buffer for a page that is served. ``side`` is the long side at most.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures

from models.ops.resize import resize_bilinear
from models.structures import BACKGROUND, IGNORE, UNLABELLED, Image, Mask
from pipeline.pictures.overlays import cam_heat, hatching

LONG_SIDE = 640
"""Pixels; larger images are shown smaller."""
FINE_SIDE = 512
"""Outlines of small images are drawn on a finer grid, so that they stay thin when they are enlarged."""
STROKE = 2
OPAQUE_FROM = 0.3
"""Score from which a heat map hides the image (as far as the page's slider lets it): the rest is faint."""

UNLABELLED_ALPHA = 170
"""Of 255: how strongly unlabelled pixels are grey."""

File = Path | BinaryIO
Palette = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]


def shown_size(size: tuple[int, int], side: int = LONG_SIDE) -> tuple[int, int]:
    """(H, W) of the pictures of an image of (H, W)."""
    shrink = min(1.0, side / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def save_photo(file: File, image: Image, side: int = LONG_SIDE) -> None:
    """The image itself, as JPEG."""
    height, width = shown_size(image.shape[:2], side)
    Pictures.fromarray(image).resize((width, height), Pictures.Resampling.LANCZOS).save(file, "JPEG", quality=88)


def save_heat(file: File, scores: Scores, size: tuple[int, int], side: int = LONG_SIDE) -> None:
    """One map [h,w] in [0,1] of an image of ``size``, from blue to red, transparent towards 0, as WebP."""
    shown = shown_size(size, side)
    colours = cam_heat(np.zeros((*shown, 3), np.uint8), scores, alpha=1.0)
    opaque = np.clip(resize_bilinear(scores[None].astype(np.float32), shown)[0] / OPAQUE_FROM, 0, 1)
    picture = Pictures.fromarray(np.dstack([colours, np.rint(255 * opaque).astype(np.uint8)]))
    picture.save(file, "WEBP", quality=80, alpha_quality=50, method=4)


def save_fill(
    file: File, mask: Mask, palette: Palette, side: int = LONG_SIDE, unlabelled: int = UNLABELLED_ALPHA
) -> None:
    """A colour for each class, grey where unlabelled, stripes where void, nothing on the background."""
    mask = _shrunk(mask, side)
    shown = np.where((mask == IGNORE) & ~hatching(mask.shape), BACKGROUND, mask)
    _save(file, shown, palette, {BACKGROUND: 0, UNLABELLED: unlabelled, IGNORE: 210})


def save_outline(file: File, mask: Mask, palette: Palette, side: int = LONG_SIDE) -> bool:
    """The inner border of every class with a dark line around it; False, and no file, where there is no border."""
    mask = _shrunk(mask, side)
    fine = max(1, FINE_SIDE // max(mask.shape))
    mask = mask.repeat(fine, 0).repeat(fine, 1)
    classes = (mask != BACKGROUND) & (mask != UNLABELLED) & (mask != IGNORE)
    inner = classes & _near_border(mask, STROKE)
    if not inner.any():
        return False
    around = ~classes & _near_border(np.where(classes, mask, BACKGROUND), 1)
    colours = palette.copy()
    colours[IGNORE] = 0
    lines = np.where(inner, mask, np.where(around, IGNORE, BACKGROUND))
    _save(file, lines.astype(np.uint8), colours, {BACKGROUND: 0, IGNORE: 160})
    return True


def _save(file: File, labels: Mask, palette: Palette, alpha: dict[int, int]) -> None:
    """Labels as PNG of 256 colours; ``alpha`` in 0..255 of the labels that are not opaque."""
    picture: Any = Pictures.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette.tobytes())
    picture.save(file, "PNG", transparency=bytes(alpha.get(label, 255) for label in range(256)), optimize=True)


def _shrunk(mask: Mask, side: int) -> Mask:
    """The nearest pixels, at the size of the pictures."""
    height, width = shown_size(mask.shape, side)
    if (height, width) == mask.shape:
        return mask
    return np.asarray(Pictures.fromarray(mask).resize((width, height), Pictures.Resampling.NEAREST))


def _near_border(mask: Mask, reach: int) -> npt.NDArray[np.bool_]:
    """Pixels with another label up to ``reach`` pixels to the left, right, above or below."""
    near = np.zeros(mask.shape, np.bool_)
    for step in range(1, reach + 1):
        across, down = mask[:, step:] != mask[:, :-step], mask[step:] != mask[:-step]
        near[:, step:] |= across
        near[:, :-step] |= across
        near[step:] |= down
        near[:-step] |= down
    return near
