"""Datumaro's JSON: a file for each subset, shapes in pixels, classes by their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.annotations.tools.coco import run_bitmap
from pipeline.annotations.tools.drawn import DrawnImage, Export, Shape
from pipeline.annotations.tools.values import (
    bbox,
    corners,
    ellipse,
    mapping,
    mappings,
    number,
    pairs,
    size_of,
    turned_box,
)
from pipeline.datasets.tables import clipped

SEEN = 2
"""Of a point: 0 absent, 1 hidden, 2 visible."""


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the items of a file. Of the attributes ``is_crowd``, ``difficult`` and ``rotation`` are read."""
    labels = mapping(mapping(content.get("categories")).get("label"))
    names = [str(item.get("name")).strip() for item in mappings(labels.get("labels"))]
    for name in names:
        export.declare(name)
    for place, item in enumerate(mappings(content.get("items"))):
        picture = mapping(item.get("image") or item.get("media"))
        size = picture.get("size")
        stated = size_of(*size) if isinstance(size, list) and len(size) == 2 else None
        name = str(picture.get("path") or item.get("id", ""))
        image = DrawnImage(name, f"{path} item {place} ('{name[:60]}')", stated, also=str(item.get("id", "")))
        export.images.append(image)
        for annotation in mappings(item.get("annotations")):
            _add_shape(export, image, annotation, names)


def _add_shape(export: Export, image: DrawnImage, item: Mapping[str, Any], names: list[str]) -> None:
    where, kind = f"{image.where} annotation {item.get('id', '')}", str(item.get("type"))[:20]
    if kind not in _SHAPES:
        export.skip(kind)
        return
    try:
        label = item.get("label_id")
        if type(label) is not int or not 0 <= label < len(names):
            raise ValueError(f"label_id {clipped(repr(label), 40)} of {len(names)} labels")
        attributes = mapping(item.get("attributes"))
        unsure, crowd = (attributes.get(key) is True for key in ("difficult", "is_crowd"))
        order = int(number(item.get("z_order", 0)))
        shapes = _SHAPES[kind](
            item, partial(Shape, name=names[label], where=where, unsure=unsure, crowd=crowd, order=order)
        )
        image.take(shapes)
    except ValueError as error:
        export.problems.append(f"{where}: expected a {kind} of Datumaro, found {error}")


_Made = Callable[..., Shape]


def _label(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    return [shape("tag")]


def _box(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    rotation = number(mapping(item.get("attributes")).get("rotation", 0))
    return [shape("box", outline=turned_box(bbox(item.get("bbox")), rotation))]


def _polygon(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    return [shape("area", outline=pairs(item.get("points"), 3))]


def _line(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    return [shape("stroke", outline=pairs(item.get("points"), 2))]


def _points(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    points, seen = pairs(item.get("points")), item.get("visibility")
    states = list(seen) if isinstance(seen, list) and len(seen) == len(points) else [SEEN] * len(points)
    together = zip(points, states, strict=True)
    return [shape("point", outline=point[None], hidden=state == 1) for point, state in together if state != 0]


def _ellipse(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    (x1, y1), (x2, y2) = corners(*pairs(item.get("points"), 2)[:2].reshape(-1))
    return [shape("area", outline=ellipse((x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2))]


def _mask(item: Mapping[str, Any], shape: _Made) -> list[Shape]:
    return [shape("area", bitmap=run_bitmap(mapping(item.get("rle"))))]


_SHAPES: dict[str, Callable[[Mapping[str, Any], _Made], list[Shape]]] = {
    "label": _label,
    "bbox": _box,
    "polygon": _polygon,
    "polyline": _line,
    "points": _points,
    "ellipse": _ellipse,
    "mask": _mask,
}
