"""The pictures that the page lays over each other, as bytes: those of the report, larger."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.structures import Cam, Image, Mask
from pipeline.look.layers import mask_of
from pipeline.pictures.overlays import colours
from pipeline.pictures.palette import write_png
from pipeline.results.report.images import save_fill, save_heat, save_outline, save_photo

SIDE = 1600
"""Pixels of the long side; larger images are shown smaller."""
FAINT = 96
"""Of 255: how strongly unlabelled pixels are grey, where one draws."""

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"


def photo(image: Image, whole: bool = False) -> bytes:
    """JPEG of an image uint8 [H,W,3]; of all its pixels where it is to be ``whole``."""
    return _bytes(lambda file: save_photo(file, image, max(image.shape) if whole else SIDE))


def labels(mask: Mask) -> bytes:
    """Indexed PNG of a mask uint8 [H,W], with all its pixels."""
    return _bytes(lambda file: write_png(file, mask))


def heat(scores: npt.NDArray[np.float32], size: tuple[int, int]) -> bytes:
    """WebP of a map [h,w] in [0,1] of an image of ``size``, transparent towards 0."""
    return _bytes(lambda file: save_heat(file, scores, size, SIDE))


def fill(mask: Mask) -> bytes:
    """PNG of a colour for each class of a mask uint8 [H,W]."""
    return _bytes(lambda file: save_fill(file, mask, colours(), SIDE, FAINT))


def outline(mask: Mask) -> bytes:
    """PNG of the borders of a mask's classes; empty where there are none."""
    return _bytes(lambda file: save_outline(file, mask, colours(), SIDE))


def layer_picture(item: Any, part: str, label: int) -> tuple[bytes, str]:
    """A layer as (bytes, media type).

    Args:
        item: a Cam, a Supervision or a mask.
        part: "fill" or "line" of a mask; of a Cam there is "fill" alone.
        label: class of a Cam's map.

    Raises:
        DataError: the Cam has no map of that class.
    """
    if isinstance(item, Cam):
        if label not in item.classes:
            raise DataError(f"Expected one of the classes {item.classes.tolist()} of this CAM, found {label}.")
        return heat(item.scores[item.classes.tolist().index(label)], item.size), WEBP
    return (outline if part == "line" else fill)(mask_of(item)), PNG


def _bytes(save: Callable[[BinaryIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()
