"""The colours of PASCAL VOC, and masks as PNG files that other tools read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from models.structures import Mask


def voc_palette() -> npt.NDArray[np.uint8]:
    """RGB of each label, uint8 [256,3]: the bits of the label dealt out to red, green, blue, highest bit first.

    Source: ``VOClabelcolormap.m`` of the VOC development kit.
    """
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for level in range(8):
        for channel in range(3):
            colours[:, channel] |= ((labels >> (3 * level + channel)) & 1) << (7 - level)
    return colours.astype(np.uint8)


def export_png(masks: Iterable[tuple[str, Mask]], folder: Path) -> list[Path]:
    """Write each (id, mask) as ``folder/ID.png``: 8-bit indexed, label = index, coloured with the VOC palette."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_png(folder / f"{name}.png", mask) for name, mask in masks]


def write_png(path: Path, mask: Mask) -> Path:
    """Write one mask as an indexed PNG."""
    from PIL import Image

    picture = Image.fromarray(mask)
    picture.putpalette(voc_palette().tobytes())
    picture.save(path, optimize=False)
    return path
