"""Boxes of COCO's annotations: x, y, width and height in pixels. What else people write there is found out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.ops.run_lengths import Region
from pipeline.datasets.coco_values import short
from pipeline.datasets.ground_truth import Corners
from pipeline.datasets.images import BadFileError
from pipeline.problems.notices import Notice

BOX = "a bbox of four numbers x, y, width, height in pixels"
SLACK = 2.0
"""Pixels by which boxes reach beyond their images in good files."""
MANY = 0.25
"""Share of boxes that reach beyond their images, from which on they are of another form."""


def corners(annotation: Mapping[str, Any]) -> Corners | None:
    """Left, top, right, bottom; None where ``bbox`` is none of four numbers."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_number(entry) for entry in box):
        return None
    left, top, width, height = box
    return left, top, left + width, top + height


def _number(value: Any) -> bool:
    """Also an integer beyond all floating-point numbers is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and isfinite(value)


def box_of(annotation: Mapping[str, Any], size: tuple[int, int]) -> Corners:
    """As :func:`corners`, of an annotation that has nothing else, in an image of (H, W).

    Raises:
        BadFileError: no four numbers, no area, or outside of the image.
    """
    box, height, width = corners(annotation), *size
    if box is None:
        raise BadFileError(BOX, _written(annotation))
    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise BadFileError("a bbox with width and height above 0", _written(annotation))
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise BadFileError(f"a bbox x, y, width, height within {height} x {width} (H x W)", _written(annotation))
    return box


def _written(annotation: Mapping[str, Any]) -> str:
    box = annotation.get("bbox")
    return short([repr(entry) if isinstance(entry, str) else entry for entry in box] if isinstance(box, list) else box)


def pixels_of(box: Corners, size: tuple[int, int]) -> Region:
    """bool [H,W]: the pixels that a box touches."""
    left, top, right, bottom = box
    region = np.zeros(size, bool)
    region[max(floor(top), 0) : max(ceil(bottom), 0), max(floor(left), 0) : max(ceil(right), 0)] = True
    return region


def check_boxes(path: Path, sized: Sequence[tuple[Corners, tuple[int, int]]]) -> list[Notice]:
    """Whether a file's boxes are COCO's, from (corners as if they were, size (H, W) of the image).

    Returns:
        A notice of boxes that reach beyond their images.

    Raises:
        DataError: they are shares of the image, or left, top, right, bottom.
    """
    if not sized:
        return []
    boxes = np.array([box for box, _ in sized], np.float64)
    sizes = np.array([size[::-1] for _, size in sized], np.float64)
    first, second = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    if np.abs(boxes[:, :2]).max() <= 1 and np.abs(second).max() <= 1 and (boxes % 1 != 0).any():
        raise _shares(path, "bbox", len(boxes), _as_text(first[0], second[0]))
    beyond = (boxes[:, 2:] > sizes + SLACK).any(1)
    ordered = (second > first).all(1) & (second <= sizes + SLACK).all(1)
    if beyond.mean() > MANY and ordered.all():
        worst = int(np.flatnonzero(beyond)[0])
        width, height = sizes[worst]
        raise DataError(
            f"{path}: expected bbox as x, y, width, height in pixels, found left, top, right, bottom: "
            f"{int(beyond.sum())} of {len(boxes)} boxes reach beyond their image if they are read so, such as "
            f"{_as_text(first[worst], second[worst])} in {height:g} x {width:g} (H x W), and all fit as corners. "
            "Remedy: write [x1, y1, x2 - x1, y2 - y1]."
        )
    if not beyond.any():
        return []
    worst = int(np.flatnonzero(beyond)[0])
    width, height = sizes[worst]
    text = (
        f"{path}: {int(beyond.sum())} of {len(boxes)} boxes reach more than {SLACK:g} pixels beyond their image, such "
        f"as bbox {_as_text(first[worst], second[worst])} in {height:g} x {width:g} (H x W). COCO's bbox is x, y, "
        "width, height in pixels."
    )
    return [Notice("boxes_beyond_image", int(beyond.sum()), text)]


def _shares(path: Path, what: str, count: int, example: str) -> DataError:
    return DataError(
        f"{path}: expected {what} in pixels, found coordinates that look like shares of the image: all {count} lie "
        f"within 0..1, such as {example}. Remedy: multiply x by the image's width and y by its height."
    )


def refuse_shares(path: Path, polygons: Sequence[npt.NDArray[np.float64]]) -> None:
    """Raises DataError where all polygons of a file lie within the first pixel of their images."""
    if polygons and all(polygon.max() <= 1 and polygon.min() >= 0 for polygon in polygons):
        raise _shares(path, "polygons", len(polygons), ", ".join(f"{number:g}" for number in polygons[0][:6]))


def _as_text(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> str:
    return f"[{', '.join(f'{number:g}' for number in (*first, *second))}]"
