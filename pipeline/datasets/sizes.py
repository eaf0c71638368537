"""Sizes that lists state, and the EXIF orientation that may stand between them and the files."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets.images import SIDEWAYS, BadFileError, image_size


def stored_size(path: Path, upright: bool = False) -> tuple[int, int] | None:
    """(H, W) from the head of an image file, with its EXIF orientation applied where ``upright``; None without one."""
    try:
        return image_size(path, upright=upright)
    except BadFileError:
        return None


def size_hint(size: tuple[int, int], other: tuple[int, int], orientation: int, upright: bool) -> str:
    """What explains that an image and its list or mask differ in size, to end a message with; else empty.

    Args:
        size: (H, W) of the image as it was read.
        other: (H, W) that it should have.
        orientation: EXIF's.
        upright: the orientation was applied.
    """
    if other != size[::-1]:
        return ""
    if orientation not in SIDEWAYS:
        return ": height and width are interchanged, or the image was turned since"
    applied, remedy = ("applied", "false") if upright else ("not applied", "true")
    return (
        f": the image's EXIF orientation ({orientation}) is {applied}. Set `upright: {remedy}` in the reader's options"
    )
