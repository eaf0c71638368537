"""Sizes that lists state, and the EXIF orientation that may stand between them and the files."""

from __future__ import annotations

from pathlib import Path

from pipeline.datasets.images import SIDEWAYS, BadFileError, image_size
from pipeline.datasets.listing import Listed
from stages.prepare import Problem


def stored_size(path: Path, upright: bool = False) -> tuple[int, int] | None:
    """(H, W) from the head of an image file, with its EXIF orientation applied where ``upright``; None without one."""
    try:
        return image_size(path, upright=upright)
    except BadFileError:
        return None


def listed_size_problem(listed: Listed, size: tuple[int, int], orientation: int, upright: bool) -> Problem | None:
    """What is wrong where an image has another size than its list says; names EXIF where that explains it.

    Args:
        listed: the image, as its list has it.
        size: (H, W) as it was read.
        orientation: EXIF's.
        upright: the orientation was applied.
    """
    if listed.size in (None, size):
        return None
    found = f"{size[0]} x {size[1]}"
    if listed.size == size[::-1]:
        turned = exif_hint(size, listed.size, orientation, upright)
        interchanged = ": height and width are interchanged in the list, or the image was turned since"
        found += f", whose {turned}" if turned else interchanged
    return Problem(listed.id, listed.where, f"an image of the listed size {listed.size} (H x W)", found)


def exif_hint(size: tuple[int, int], other: tuple[int, int], orientation: int, upright: bool) -> str:
    """The remedy where EXIF explains that two sizes differ, a phrase behind "whose"; empty where it does not."""
    if orientation not in SIDEWAYS or other != size[::-1]:
        return ""
    applied = "is applied" if upright else "is not applied"
    return (
        f"EXIF orientation {orientation} {applied}: set `upright: {str(not upright).lower()}` in the reader's options"
    )
