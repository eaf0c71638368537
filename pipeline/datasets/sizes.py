"""Sizes that lists state, and the EXIF orientation that may stand between them and the files."""

from __future__ import annotations

import warnings
from pathlib import Path

from PIL import ExifTags
from PIL import Image as PILImage

from pipeline.datasets.listing import Listed
from stages.prepare import Problem

TURNED = (5, 6, 7, 8)
"""EXIF orientations that interchange height and width."""


def stored_size(path: Path, upright: bool = False) -> tuple[int, int] | None:
    """(H, W) from the head of an image file, with its EXIF orientation applied where ``upright``; None without one."""
    head = _head(path, upright)
    if head is None:
        return None
    size, orientation = head
    return size[::-1] if orientation in TURNED else size


def size_problem(listed: Listed, size: tuple[int, int], path: Path, upright: bool) -> Problem | None:
    """What is wrong where an image has another size than its list says; names EXIF where that explains it."""
    if listed.size in (None, size):
        return None
    expected = f"an image of the listed size {listed.size} (H x W)"
    found = f"{size[0]} x {size[1]}"
    if listed.size == size[::-1]:
        head = _head(path, True)
        orientation = head[1] if head is not None else 1
        if orientation in TURNED:
            applied = "is applied" if upright else "is not applied"
            found += f", whose EXIF orientation {orientation} {applied}: set `upright: {str(not upright).lower()}`"
        else:
            found += ": height and width are interchanged in the list, or the image was turned since"
    return Problem(listed.id, listed.where, expected, found)


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
