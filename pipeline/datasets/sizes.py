"""Sizes that lists state, and the EXIF orientation that may stand between them and the files."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import ExifTags
from PIL import Image as PILImage

TURNED = (5, 6, 7, 8)
"""EXIF orientations that interchange height and width."""


def stored_size(path: Path, upright: bool = False) -> tuple[int, int] | None:
    """(H, W) from the head of an image file, with its EXIF orientation applied where ``upright``; None without one."""
    head = _head(path, upright)
    if head is None:
        return None
    size, orientation = head
    return size[::-1] if orientation in TURNED else size


def _head(path: Path, exif: bool) -> tuple[tuple[int, int], int] | None:
    """(H, W) as stored and the EXIF orientation, 1 where it is not asked for: of a PNG all must be read for it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
            with PILImage.open(path) as picture:
                orientation = picture.getexif().get(ExifTags.Base.Orientation, 1) if exif else 1
                return (picture.height, picture.width), orientation
    except (OSError, SyntaxError, ValueError, EOFError, PILImage.DecompressionBombError):
        return None
