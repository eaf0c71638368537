"""Regions as COCO writes them, polygons and run lengths (the only file that imports pycocotools)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.ops.run_lengths import Region


def encoded(region: Region) -> tuple[str, list[float]]:
    """Compressed run lengths of a region, and its box XYWH."""
    from pycocotools import mask as rle

    coded = rle.encode(np.asfortranarray(region, np.uint8))
    return coded["counts"].decode(), [float(number) for number in rle.toBbox(coded)]


def decoded(counts: str, size: tuple[int, int]) -> Region:
    """The region of compressed run lengths as :func:`encoded` makes them, for an image of (H, W)."""
    from pycocotools import mask as rle

    region: Region = rle.decode({"size": list(size), "counts": counts.encode()}).astype(bool)
    return region


FURTHEST = 1.5
"""How far a polygon may reach from the middle of its image, in images: one image's size beyond the border."""


def of_polygons(polygons: Sequence[npt.NDArray[np.float64]], size: tuple[int, int]) -> Region:
    """The union of polygons, each x0, y0, x1, y1, ... in pixels (three points or more), as far as it is in (H, W).

    Raises:
        ValueError: one reaches further than :data:`FURTHEST`: pycocotools walks along its whole outline, for which it
            takes memory without asking whether there is any. The message says how far.
    """
    from pycocotools import mask as rle

    for polygon in polygons:
        _check_reach(polygon[0::2], polygon[1::2], size)

    coded = rle.frPyObjects([polygon.tolist() for polygon in polygons], *size)
    region: Region = rle.decode(rle.merge(coded)).astype(bool)
    return region


def _check_reach(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], size: tuple[int, int]) -> None:
    height, width = size
    reach = np.maximum(np.abs(x / width - 0.5).max(), np.abs(y / height - 0.5).max())  # nan if one of them is
    if not reach <= FURTHEST:
        raise ValueError(extent(x, y))


def extent(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> str:
    """In words."""
    return f"x {x.min():g} to {x.max():g}, y {y.min():g} to {y.max():g}"


def runs_of_text(text: str) -> npt.NDArray[np.int64]:
    """Run lengths of COCO's compressed form: groups of 5 bits; from the third on, differences to the last but one.

    Raises:
        ValueError: not that form.
    """
    runs: list[int] = []
    value = shift = 0
    for mark in text.encode("ascii"):
        bits = mark - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("text that is no compressed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths that break off")
    return np.array(runs, np.int64)
