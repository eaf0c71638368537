"""V7's Darwin JSON 2.0: a file for each image, with shapes in pixels; masks are run lengths of one raster for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Floats, Region, Shape
from pipeline.annotations.tools.values import ellipse, mapping, mappings, number, pairs, sides, size_of, text
from pipeline.datasets import rle
from pipeline.datasets.images import MAX_PIXELS
from pipeline.datasets.tables import clipped

RASTER = "raster_layer"
AROUND = ("id", "name", "slot_names", "properties", "annotators", "reviewers", "ranges", "hidden_areas")
KINDS = ("polygon", "mask", "ellipse", "line", "keypoint", "skeleton", "tag", "bounding_box")
"""What an annotation may be; with others there may be the box around them too."""


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the image of a file. Sub-annotations (attributes, instance ids, texts) are not read."""
    item = mapping(content.get("item"))
    slots = list(mappings(item.get("slots")))
    name = str(item.get("name", "")).strip()
    size = size_of(slots[0].get("height"), slots[0].get("width")) if slots else None
    within = f"{str(item.get('path') or '').strip('/')}/{name}".lstrip("/")
    image = DrawnImage(within, f"{path} '{name[:60]}'", size, also=name)
    export.images.append(image)
    if len(slots) > 1:
        export.problems.append(f"{path}: expected one image in an item, found {len(slots)} slots.")
        return
    annotations = list(mappings(content.get("annotations")))
    masks = _masks(annotations, size)
    for place, annotation in enumerate(annotations, start=1):
        _add_shape(export, image, annotation, masks, f"{path} annotation {place}")


def _add_shape(
    export: Export, image: DrawnImage, item: Mapping[str, Any], masks: Mapping[str, partial[Region]], where: str
) -> None:
    kind = next((kind for kind in KINDS if kind in item), None)
    if kind is None:
        if RASTER not in item:
            export.skip(next((key[:20] for key in item if key not in AROUND), "annotation"))
        return
    try:
        image.shapes += _shapes(kind, item, text(item.get("name")), where, image.size, masks)
    except ValueError as error:
        export.problems.append(f"{where}: expected a {kind} of Darwin JSON, found {error}")


def _shapes(
    kind: str,
    item: Mapping[str, Any],
    name: str,
    where: str,
    size: tuple[int, int] | None,
    masks: Mapping[str, partial[Region]],
) -> list[Shape]:
    value = mapping(item[kind])
    if kind == "tag":
        return [Shape("tag", name, where)]
    if kind == "bounding_box":
        return [Shape("box", name, where, sides(*(value.get(key) for key in "xywh")))]
    if kind == "keypoint":
        return [Shape("point", name, where, pairs([value]))]
    if kind == "skeleton":
        nodes = list(mappings(value.get("nodes")))
        return [Shape("point", name, where, pairs([node]), hidden=node.get("occluded") is True) for node in nodes]
    if kind == "line":
        return [Shape("stroke", name, where, pairs(value.get("path"), 2))]
    if kind == "ellipse":
        return [Shape("area", name, where, _ellipse(value))]
    if size is None or size[0] * size[1] > MAX_PIXELS:
        raise ValueError("an image without width and height, or with too large ones")
    if kind == "polygon":
        return [_polygon(value, name, where, size)]
    read = masks.get(str(item.get("id")))
    if read is None:
        raise ValueError(f"a mask of which the {RASTER} has nothing")
    return [Shape("area", name, where, bitmap=Bitmap(0, 0, size, read))]


def _polygon(value: Mapping[str, Any], name: str, where: str, size: tuple[int, int]) -> Shape:
    """Of several paths those pixels count that are within an odd number: a path in another one is a hole."""
    paths = value.get("paths")
    if not isinstance(paths, list) or not paths:
        raise ValueError(f"paths {clipped(repr(paths), 40)}")
    outlines = [pairs(path, 3) for path in paths]
    if len(outlines) == 1:
        return Shape("area", name, where, outlines[0])
    return Shape("area", name, where, bitmap=Bitmap(0, 0, size, partial(_within_odd, outlines, size)))


def _within_odd(outlines: Sequence[Floats], size: tuple[int, int]) -> Region:
    regions = [rle.of_polygons([outline.reshape(-1)], size) for outline in outlines]
    return np.asarray(np.logical_xor.reduce(regions), np.bool_)


def _ellipse(value: Mapping[str, Any]) -> Floats:
    if number(value.get("angle") or 0):
        raise ValueError("one that is turned. Remedy: draw a polygon in its place")
    middle, radius = mapping(value.get("center")), mapping(value.get("radius"))
    return ellipse(*(number(point.get(key)) for point in (middle, radius) for key in "xy"))


def _masks(annotations: Sequence[Mapping[str, Any]], size: tuple[int, int] | None) -> dict[str, partial[Region]]:
    """Id of an annotation -> what reads its pixels out of the raster."""
    if size is None:
        return {}
    rasters = [mapping(item[RASTER]) for item in annotations if RASTER in item]
    numbered = ((raster, mapping(raster.get("mask_annotation_ids_mapping"))) for raster in rasters)
    return {
        str(id): partial(_pixels, raster.get("dense_rle"), value, size)
        for raster, values in numbered
        for id, value in values.items()
    }


def _pixels(runs: Any, value: Any, size: tuple[int, int]) -> Region:
    """Where a raster has a value; runs are (value, count) in turn, row by row."""
    try:
        values, counts = np.array(runs, np.int64).reshape(-1, 2).T
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"dense_rle {clipped(repr(runs), 40)}") from None
    if (counts < 0).any() or (counts > size[0] * size[1]).any() or counts.sum() != size[0] * size[1]:
        raise ValueError(f"run lengths that add up to {counts.sum()}, where the image has {size[1]} x {size[0]} pixels")
    return np.repeat(values == int(number(value)), counts).reshape(size)
