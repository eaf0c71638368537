"""Pictures for people: masks and CAMs over images, and sheets of them. RGB uint8 [H,W,3] in and out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ops.resize import resize_bilinear
from models.structures import BACKGROUND, IGNORE, UNLABELLED, Image, Mask
from pipeline.pictures.palette import distinct_palette

Caption = tuple[str, Image]
"""A picture and the words above it."""

FONT_SIZE = 14
PAPER, INK, BLANK = (255, 255, 255), (24, 24, 24), (238, 238, 238)


@cache
def colours() -> npt.NDArray[np.uint8]:
    """RGB of each label, uint8 [256,3], the same in every picture."""
    return distinct_palette()


def overlay(
    image: Image, mask: Mask, alpha: float = 0.5, palette: npt.NDArray[np.uint8] | None = None
) -> npt.NDArray[np.uint8]:
    """Lay a mask over its image: classes tinted, with contours; void hatched in white, unlabelled in grey.

    Args:
        image: uint8 [H,W,3].
        mask: uint8 [H,W], 0..C, 254 unlabelled, 255 void.
        alpha: weight of the tint in [0,1]; background keeps the image's colours.
        palette: RGB of each label, uint8 [256,3].

    Raises:
        ValueError: image and mask differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"expected a mask of the image's size {image.shape[:2]}, found {mask.shape}")
    palette = colours() if palette is None else palette
    classes = (mask != BACKGROUND) & (mask != IGNORE) & (mask != UNLABELLED)
    weight = np.where(classes, alpha, 0.0)[..., None]
    picture = np.rint((1 - weight) * image + weight * palette[mask]).astype(np.uint8)
    grey = image.mean(2, keepdims=True).astype(np.uint8) // 2 + 64
    picture = np.where((mask == UNLABELLED)[..., None], grey, picture)
    picture[(mask == IGNORE) & hatching(mask.shape)] = 255
    edges = _edges(mask)
    picture[edges & (mask != IGNORE)] = 255
    picture[edges & classes] = palette[mask[edges & classes]]
    return picture


def cam_heat(image: Image, scores: npt.NDArray[np.float32], alpha: float = 0.6) -> npt.NDArray[np.uint8]:
    """Lay one class activation map, float [h,w] in [0,1] at any grid, over its image, from blue (0) to red (1)."""
    from matplotlib import colormaps

    fine = np.clip(resize_bilinear(scores[None].astype(np.float32), image.shape[:2])[0], 0, 1)
    heat = 255 * colormaps["turbo"](fine)[..., :3]
    picture: npt.NDArray[np.uint8] = np.rint((1 - alpha) * image + alpha * heat).astype(np.uint8)
    return picture


def contact_sheet(rows: Sequence[Sequence[Caption]], width: int = 220, gap: int = 8) -> npt.NDArray[np.uint8]:
    """Captioned pictures in a grid, each scaled to ``width`` pixels; a short row ends blank.

    Raises:
        ValueError: there is no picture at all.
    """
    from PIL import Image as Pictures

    if not any(rows):
        raise ValueError("expected at least one picture for a contact sheet, found none")
    tiles = [[_tile(caption, picture, width) for caption, picture in row] for row in rows if row]
    heights = [max(tile.height for tile in row) for row in tiles]
    columns = max(len(row) for row in tiles)
    size = (gap + columns * (width + gap), gap + sum(heights) + gap * len(heights))
    sheet = Pictures.new("RGB", size, PAPER)
    top = gap
    for row, height in zip(tiles, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (gap + column * (width + gap), top))
        top += height + gap
    return np.asarray(sheet)


def class_labels(mask: Mask, class_names: Sequence[str]) -> list[int]:
    """The classes 1..C that a mask shows, ascending."""
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    return [int(label) for label in present if BACKGROUND < label <= len(class_names)]


def _tile(caption: str, picture: Image, width: int) -> Any:
    """A picture scaled to a width, below its caption."""
    from PIL import Image as Pictures
    from PIL import ImageDraw, ImageFont

    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    bar = FONT_SIZE + 8
    tile = Pictures.new("RGB", (width, height + bar), BLANK)
    tile.paste(Pictures.fromarray(picture).resize((width, height), Pictures.Resampling.LANCZOS), (0, bar))
    font = ImageFont.load_default(FONT_SIZE)
    text = caption
    while text and font.getlength(text) > width - 8:
        text = text.rstrip("…")[:-1] + "…" if len(text) > 1 else ""
    ImageDraw.Draw(tile).text((4, 3), text, fill=INK, font=font)
    return tile


def hatching(shape: tuple[int, ...], period: int = 8) -> npt.NDArray[np.bool_]:
    """Diagonal stripes, bool [H,W], a quarter of the pixels."""
    rows, columns = np.indices(shape)
    stripes: npt.NDArray[np.bool_] = (rows + columns) % period < 2
    return stripes


def _edges(mask: Mask) -> npt.NDArray[np.bool_]:
    """Pixels with another label to the right or below, on both sides of the border."""
    edges = np.zeros(mask.shape, np.bool_)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges
