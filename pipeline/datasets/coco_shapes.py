"""Objects of COCO's annotations, and the masks that they paint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.structures import IGNORE
from pipeline import rle
from pipeline.datasets.images import BadFileError, write_indices
from stages.prepare import Problem

Crowd = Literal["void", "paint", "skip"]
MASKS, INSTANCES = "masks", "instances"
FURTHEST = 1.5
"""How far a polygon may reach from the middle of its image, in images: one image's size beyond the border."""
LARGEST = 2**28
"""Pixels of an image; a size beyond that is a mistake of the file."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One annotation: its number in the file, its value in the mask (255 for a class that is not kept), its region.

    Attributes:
        polygons: each float64 [2n] x0, y0, x1, ...; or None where ``runs`` say it.
        runs: int64 run lengths down the columns, or None.
    """

    number: int
    value: int
    crowd: bool
    polygons: tuple[npt.NDArray[np.float64], ...] | None = None
    runs: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """An image's shapes in the order of the file, and the file."""

    id: str
    size: tuple[int, int]
    shapes: tuple[Shape, ...]
    where: str


def read_shape(annotation: Mapping[str, Any], value: int) -> Shape:
    """Pack an annotation, without a look at its size.

    Raises:
        BadFileError: its ``segmentation`` is neither polygons nor run lengths.
    """
    number, crowd = int(annotation.get("id", 0)), bool(annotation.get("iscrowd", 0))
    segmentation = annotation.get("segmentation")
    try:
        if isinstance(segmentation, Mapping):
            counts = segmentation["counts"]
            runs = rle.runs_of_text(counts) if isinstance(counts, str) else np.array(counts, np.int64).reshape(-1)
            return Shape(number, value, crowd, runs=runs)
        if isinstance(segmentation, list) and segmentation:
            return Shape(number, value, crowd, tuple(_polygon(polygon) for polygon in segmentation))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadFileError("a segmentation of polygons or run lengths", f"{type(error).__name__}: {error}") from None
    raise BadFileError("a segmentation of polygons or run lengths", _short(segmentation))


def _polygon(polygon: Any) -> npt.NDArray[np.float64]:
    points = np.array(polygon, np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise ValueError("a polygon without three points x, y")
    return points


def paint(sketch: Sketch, truth: Path, crowd: Crowd) -> list[Problem]:
    """Write the mask and the instance numbers of an image under ``truth``; a bad shape is left out and reported."""
    mask = np.zeros(sketch.size, np.uint8)
    instances = np.zeros(sketch.size, np.uint8)
    problems: list[Problem] = []
    if crowd == "void":
        for shape in sketch.shapes:
            if shape.crowd:
                mask[_region_or_problem(sketch, shape, problems)] = IGNORE
    for number, shape in enumerate(sketch.shapes, start=1):
        if shape.crowd and crowd != "paint":
            continue
        region = _region_or_problem(sketch, shape, problems)
        mask[region] = shape.value
        instances[region] = IGNORE if shape.crowd or shape.value == IGNORE else min(number, IGNORE)
    write_indices(truth / MASKS / f"{sketch.id}.png", mask)
    write_indices(truth / INSTANCES / f"{sketch.id}.png", instances)
    return problems


def _region_or_problem(sketch: Sketch, shape: Shape, problems: list[Problem]) -> rle.Region:
    try:
        return region_of(shape, sketch.size)
    except BadFileError as bad:
        problems.append(Problem(sketch.id, f"{sketch.where} annotation {shape.number}", bad.expected, bad.found))
        return np.zeros(sketch.size, bool)


def region_of(shape: Shape, size: tuple[int, int]) -> rle.Region:
    """The pixels of a shape in an image of (H, W).

    Raises:
        BadFileError: a polygon lies beyond the image, or run lengths are of another size.
    """
    height, width = size
    if shape.runs is not None:
        try:
            return rle.of_runs(shape.runs, size)
        except ValueError as error:
            raise BadFileError(f"run lengths of {height} x {width} (H x W)", str(error)) from None
    polygons = shape.polygons or ()
    for polygon in polygons:
        x, y = polygon[0::2], polygon[1::2]
        reach = max(np.abs(x / width - 0.5).max(), np.abs(y / height - 0.5).max())
        if not reach <= FURTHEST:
            raise BadFileError(f"polygons near an image of {height} x {width} (H x W)", _extent(x, y))
        if x.max() < 0 or x.min() > width or y.max() < 0 or y.min() > height:
            raise BadFileError(f"polygons that touch an image of {height} x {width} (H x W)", _extent(x, y))
    return rle.of_polygons(polygons, size)


def _extent(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> str:
    return f"x {x.min():g} to {x.max():g}, y {y.min():g} to {y.max():g}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
