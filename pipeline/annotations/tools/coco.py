"""COCO's JSON: instances as areas, boxes where there is no region, keypoints as points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from models.ops.run_lengths import region_of_runs
from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Floats, Region, Shape
from pipeline.annotations.tools.values import (
    address_path,
    bbox,
    mapping,
    mappings,
    number,
    pairs,
    size_of,
    turned_box,
)
from pipeline.datasets import rle
from pipeline.datasets.coco_values import key_of
from pipeline.datasets.images import MAX_PIXELS
from pipeline.datasets.tables import clipped

Key: TypeAlias = int | str | None
"""An id; None is none."""
SEEN = 2
"""Of a keypoint: 0 is not labelled, 1 labelled but hidden, 2 labelled and seen."""


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the images of a file: an image without annotations has no object."""
    categories: dict[Key, str] = {}
    for item in mappings(content.get("categories")):
        name, key = str(item.get("name")).strip(), key_of(item.get("id"))
        if categories.setdefault(key, name) != name:
            export.problems.append(f"{path}: expected one category of each id, found id {key!r} of '{name[:60]}' too")
        export.declare(name)
    images: dict[Key, DrawnImage] = {}
    for item in mappings(content.get("images")):
        size = size_of(item.get("height"), item.get("width"))
        name, key = address_path(item.get("file_name", "")), key_of(item.get("id"))
        beside = f"{path.parent.as_posix()}/{name}"
        image = DrawnImage(name, f"{path} '{name[:60]}'", size, beside, empty=True)
        if (other := images.setdefault(key, image).name) != name:
            export.problems.append(f"{image.where}: expected an id of its own, found {key!r} of '{other[:60]}'")
    export.images += images.values()
    for place, item in enumerate(content.get("annotations") or []):
        where = f"{path} annotation {item.get('id', place) if isinstance(item, Mapping) else place}"
        try:
            image, name = _owner(item, images, categories)
            image.take(_shapes(item, name, where, image.size))
            image.empty = False
        except ValueError as error:
            export.problems.append(f"{where}: expected an annotation of COCO, found {error}")


def _owner(item: Any, images: Mapping[Key, DrawnImage], categories: Mapping[Key, str]) -> tuple[DrawnImage, str]:
    if not isinstance(item, Mapping):
        raise ValueError(clipped(repr(item), 40))
    image, name = images.get(key_of(item.get("image_id"))), categories.get(key_of(item.get("category_id")))
    if image is None:
        raise ValueError(f"image_id {clipped(repr(item.get('image_id')), 40)}, which no image has")
    if name is None:
        raise ValueError(f"category_id {clipped(repr(item.get('category_id')), 40)}, which no category has")
    return image, name


def _shapes(item: Mapping[str, Any], name: str, where: str, size: tuple[int, int] | None) -> list[Shape]:
    crowd = item.get("iscrowd") in (1, True)
    regions, keypoints = item.get("segmentation"), item.get("keypoints")
    shapes = _keypoints(keypoints, name, where) if keypoints else []
    if regions:
        shapes = [replace(point, spare=True) for point in shapes]
        shapes.append(_area(regions, name, where, size, crowd))
    elif not shapes and item.get("bbox"):
        shapes.append(Shape("box", name, where, turned_box(bbox(item["bbox"]), _rotation(item)), crowd=crowd))
    if not shapes:
        shapes.append(Shape("tag", name, where))
    return shapes


def _rotation(item: Mapping[str, Any]) -> float:
    """Degrees about the middle of the box, which CVAT and Datumaro write as an attribute of a box without a region."""
    try:
        return number(mapping(item.get("attributes")).get("rotation") or 0) % 360
    except ValueError:
        return 0.0


def _keypoints(values: Any, name: str, where: str) -> list[Shape]:
    flat = [number(value) for value in values] if isinstance(values, list) else []
    if len(flat) % 3 or not flat:
        raise ValueError("keypoints that are no list x, y, v, ...")
    triples = np.array(flat).reshape(-1, 3)
    return [Shape("point", name, where, t[None, :2], hidden=t[2] < SEEN) for t in triples if t[2] > 0]


def _area(regions: Any, name: str, where: str, size: tuple[int, int] | None, crowd: bool) -> Shape:
    if isinstance(regions, Mapping):
        return Shape("area", name, where, bitmap=run_bitmap(regions, size), crowd=crowd)
    outlines = polygons(regions)
    return Shape("area", name, where, outlines[0], parts=tuple(outlines[1:]), crowd=crowd)


def polygons(regions: Any) -> list[Floats]:
    """Outlines of a list of flat lists, of one flat list, or of lists of pairs."""
    if not isinstance(regions, list):
        raise ValueError(f"segmentation {clipped(repr(regions), 60)}")
    flat = all(isinstance(value, int | float) for value in regions)
    outlines = [regions] if flat else regions
    drawn = [outline for outline in outlines if not isinstance(outline, list) or len(outline) >= 3]
    whole = [outline for outline in drawn if not (isinstance(outline[0], int | float) and len(outline) < 6)]
    return [pairs(outline, 3) for outline in whole or outlines]  # others hold no pixel


def run_bitmap(regions: Mapping[str, Any], size: tuple[int, int] | None = None) -> Bitmap:
    """The bitmap of run lengths of an image, whose (H, W) they may leave out."""
    stated = regions.get("size")
    if isinstance(stated, list) and len(stated) == 2:
        size = size_of(*stated)
    if size is None or size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"run lengths of size {clipped(repr(stated), 40)}")
    counts = regions.get("counts")
    if isinstance(counts, list):
        counts = [int(number(count)) for count in counts]
    elif not isinstance(counts, str):
        raise ValueError(f"counts {clipped(repr(counts), 40)}")
    return Bitmap(0, 0, size, partial(column_runs, counts, size))


def column_runs(counts: str | list[int], size: tuple[int, int]) -> Region:
    """COCO's run lengths, compressed or not, of an image of (H, W). Raises ValueError where they do not fill it."""
    try:
        runs = rle.runs_of_text(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    except (UnicodeEncodeError, OverflowError):
        raise ValueError("counts that are no run lengths") from None
    return region_of_runs(runs, size)
