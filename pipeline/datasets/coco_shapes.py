"""Objects of COCO's annotations, and the masks that they paint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.ops.run_lengths import Region, region_of_runs
from models.structures import IGNORE
from pipeline.datasets import rle
from pipeline.datasets.coco_boxes import box_of, pixels_of
from pipeline.datasets.coco_values import short, whole_number
from pipeline.datasets.ground_truth import Corners
from pipeline.datasets.images import MOST_INSTANCES, BadFileError, write_indices
from pipeline.datasets.sizes import stored_size
from stages.prepare import Problem

Crowd = Literal["void", "paint", "skip"]
MASKS, INSTANCES = "masks", "instances"
LARGEST = 2**28
"""Pixels of an image; a size beyond that is a mistake of the file."""
REGION = "a segmentation of polygons or run lengths"
Polygon = npt.NDArray[np.float64]
"""float64 [2n] x0, y0, x1, ..."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One annotation: its number in the file, its value in the mask (255 for a class that is not kept), its region.

    Attributes:
        polygons: or None where something else says the region.
        runs: int64 run lengths down the columns, or None.
        box: of an annotation without a segmentation: which of its pixels are the object's is not known.
        points: polygons of fewer than three points, which hold no pixel and were left out.
    """

    number: int
    value: int
    crowd: bool
    polygons: tuple[Polygon, ...] | None = None
    runs: npt.NDArray[np.int64] | None = None
    box: Corners | None = None
    points: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """An image's shapes in the order of the file, its size (H, W), its file under the data set's root, and the JSON."""

    id: str
    size: tuple[int, int]
    shapes: tuple[Shape, ...]
    where: str
    image: str


def read_shape(annotation: Mapping[str, Any], value: int, size: tuple[int, int]) -> Shape:
    """Pack an annotation of an image of (H, W). One without a segmentation is its box.

    Raises:
        BadFileError: its ``segmentation`` is neither polygons nor run lengths of that size, or there is none and no
            ``bbox`` either.
    """
    number, crowd = int(annotation.get("id", 0)), bool(annotation.get("iscrowd", 0))
    segmentation = annotation.get("segmentation")
    try:
        if isinstance(segmentation, Mapping) and segmentation:
            return Shape(number, value, crowd, runs=_runs(segmentation, size))
        if isinstance(segmentation, Mapping | list | None) and not segmentation:
            return Shape(number, value, crowd, box=_box(annotation, size, short(segmentation)))
        if isinstance(segmentation, list):
            polygons = [_polygon(polygon) for polygon in _nested(segmentation)]
            drawn = tuple(polygon for polygon in polygons if len(polygon) >= 6)
            points = len(polygons) - len(drawn)
            if drawn:
                return Shape(number, value, crowd, drawn, points=points)
            none = "a polygon without three points x, y" if any(map(len, polygons)) else short(segmentation)
            return Shape(number, value, crowd, box=_box(annotation, size, none), points=points)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadFileError(REGION, _short_reason(error)) from None
    raise BadFileError(REGION, short(segmentation))


def _box(annotation: Mapping[str, Any], size: tuple[int, int], found: str) -> Corners:
    """The box of an annotation that has no region; without a box it is as bad as its segmentation."""
    if annotation.get("bbox") in (None, []):
        raise BadFileError(f"{REGION}, or a bbox", found)
    return box_of(annotation, size)


def _runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Run lengths whose own size, where they have one, is the image's: in another order they are another picture."""
    counts, size_given = segmentation["counts"], segmentation.get("size")
    if size_given is not None:
        stated = tuple(whole_number(number) for number in size_given) if isinstance(size_given, list) else None
        if stated != size:
            swapped = ": height and width are interchanged" if stated == size[::-1] else ""
            raise BadFileError(
                f"run lengths of size [{size[0]}, {size[1]}] (H, W)", f"size {short(size_given)}{swapped}"
            )
    return rle.runs_of_text(counts) if isinstance(counts, str) else np.array(counts, np.int64).reshape(-1)


def _short_reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else short(error, 120)


def _nested(segmentation: list[Any]) -> list[Any]:
    """Polygons, also from one that is not in a list, or whose points are pairs."""
    if all(isinstance(entry, int | float) for entry in segmentation):
        return [segmentation]
    if len(segmentation) >= 3 and all(isinstance(entry, list) and len(entry) == 2 for entry in segmentation):
        return [[number for pair in segmentation for number in pair]]
    return segmentation


def _polygon(polygon: Any) -> Polygon:
    points = np.asarray(polygon, np.float64)
    if points.ndim == 2 and points.shape[1] == 2:
        points = points.reshape(-1)
    if points.ndim != 1:
        raise ValueError("a polygon that is no list x0, y0, x1, ...")
    if len(points) % 2:
        raise ValueError(f"a polygon of {len(points)} numbers, where each point has x and y")
    return points


def paint(sketch: Sketch, root: Path, truth: Path, crowd: Crowd, upright: bool) -> list[Problem]:
    """Write the mask and the instance numbers of an image under ``truth``; a bad shape is left out and reported.

    An image of another size than its list says is not painted: whoever reads it says so. The pixels of boxes without
    a region are void, under the objects whose regions are known.
    """
    if stored_size(root / sketch.image, upright) != sketch.size:
        return []
    mask = np.zeros(sketch.size, np.uint8)
    instances = np.zeros(sketch.size, np.uint8 if len(sketch.shapes) < IGNORE else np.uint16)
    problems: list[Problem] = []
    for shape in sketch.shapes:
        if shape.box is not None or (shape.crowd and crowd == "void"):
            mask[_region_or_problem(sketch, shape, problems)] = IGNORE
    for number, shape in enumerate(sketch.shapes, start=1):
        if shape.box is not None or (shape.crowd and crowd != "paint"):
            continue
        region = _region_or_problem(sketch, shape, problems)
        mask[region] = shape.value
        instances[region] = IGNORE if shape.crowd or shape.value == IGNORE else _instance(number)
    write_indices(truth / MASKS / f"{sketch.id}.png", mask)
    write_indices(truth / INSTANCES / f"{sketch.id}.png", instances)
    return problems


def _instance(number: int) -> int:
    """255 is void in files of 8 and of 16 bits, so the objects from the 255th on have one number more."""
    return number if number < IGNORE else min(number + 1, MOST_INSTANCES)


def _region_or_problem(sketch: Sketch, shape: Shape, problems: list[Problem]) -> Region:
    try:
        return region_of(shape, sketch.size)
    except BadFileError as bad:
        problems.append(Problem(sketch.id, f"{sketch.where} annotation {shape.number}", bad.expected, bad.found))
        return np.zeros(sketch.size, bool)


def region_of(shape: Shape, size: tuple[int, int]) -> Region:
    """The pixels of a shape in an image of (H, W).

    Raises:
        BadFileError: a polygon lies beyond the image, or run lengths are of another size.
    """
    height, width = size
    if shape.runs is not None:
        try:
            return region_of_runs(shape.runs, size)
        except ValueError as error:
            raise BadFileError(f"run lengths of {height} x {width} (H x W)", str(error)) from None
    if shape.box is not None:
        return pixels_of(shape.box, size)
    polygons = shape.polygons or ()
    for polygon in polygons:
        x, y = polygon[0::2], polygon[1::2]
        if x.max() < 0 or x.min() > width or y.max() < 0 or y.min() > height:
            raise BadFileError(f"polygons that touch an image of {height} x {width} (H x W)", rle.extent(x, y))
    try:
        return rle.of_polygons(polygons, size)
    except ValueError as error:
        raise BadFileError(f"polygons near an image of {height} x {width} (H x W)", str(error)) from None
