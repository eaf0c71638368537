"""VOC's colours of class numbers, as its palette PNGs have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    pass


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
