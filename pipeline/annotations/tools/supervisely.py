"""Supervisely: a JSON for each image in ``ann/``, with shapes in pixels and bitmaps as packed PNGs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Floats, Shape
from pipeline.annotations.tools.values import mappings, number, pairs, picture, size_of, text, unpacked


def declare(export: Export, content: Mapping[str, Any]) -> None:
    """Take the class names of ``meta.json``."""
    for item in mappings(content.get("classes")):
        export.declare(str(item.get("title")).strip())


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the image of a file, ``photo.jpg.json`` of photo.jpg. Where it has no object its tags without value count."""
    size = content.get("size")
    stated = size_of(size.get("height"), size.get("width")) if isinstance(size, Mapping) else None
    beside = Path(*("img" if part == "ann" else part for part in path.parent.parts), path.name.removesuffix(".json"))
    image = DrawnImage(beside.as_posix(), str(path), stated)
    export.images.append(image)
    for place, item in enumerate(mappings(content.get("objects")), start=1):
        where, kind = f"{path} object {place}", str(item.get("geometryType") or _kind(item))[:20]
        try:
            shapes = _shapes(item, kind, where)
        except ValueError as error:
            export.problems.append(f"{where}: expected a {kind} of Supervisely, found {error}")
            continue
        if shapes is None:
            export.skip(kind)
        else:
            image.shapes += shapes
    if not content.get("objects"):
        tags = [item for item in mappings(content.get("tags")) if item.get("value") is None]
        image.shapes += [Shape("tag", str(item.get("name")).strip(), f"{path} tags") for item in tags]


def _kind(item: Mapping[str, Any]) -> str:
    """Of an object in older files, which do not say it."""
    return "bitmap" if "bitmap" in item else "polygon"


def _shapes(item: Mapping[str, Any], kind: str, where: str) -> list[Shape] | None:
    name = text(item.get("classTitle"))
    if kind == "bitmap":
        return [Shape("area", name, where, bitmap=_bitmap(item.get("bitmap")))]
    if kind not in ("rectangle", "polygon", "line", "point"):
        return None
    if kind == "point":
        return [Shape("point", name, where, _exterior(item, 1)[:1])]
    if kind == "line":
        return [Shape("stroke", name, where, _exterior(item, 2))]
    if kind == "rectangle":
        corners = _exterior(item, 2)[:2]  # of pixels: the right and bottom one are in the box
        return [Shape("box", name, where, np.stack([corners.min(axis=0), corners.max(axis=0) + 1]))]
    outline, interior = _exterior(item, 3), item["points"].get("interior") or []
    return [Shape("area", name, where, outline, holes=tuple(pairs(hole, 3) for hole in interior))]


def _exterior(item: Mapping[str, Any], least: int) -> Floats:
    points = item.get("points")
    if not isinstance(points, Mapping):
        raise ValueError("no points")
    return pairs(points.get("exterior"), least)


def _bitmap(item: Any) -> Bitmap:
    if not isinstance(item, Mapping) or not isinstance(item.get("origin"), list) or len(item["origin"]) != 2:
        raise ValueError("no bitmap with data and origin")
    left, top = (int(number(value)) for value in item["origin"])
    return picture(partial(unpacked, item.get("data"), packed=True), left, top)
