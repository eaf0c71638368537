"""LabelMe: a JSON for each image, with shapes in pixels, and perhaps the image itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.annotations.tools.drawn import DrawnImage, Export, Shape
from pipeline.annotations.tools.values import ellipse, mappings, pairs, picture, size_of, text, unpacked
from pipeline.datasets.tables import clipped

LEAST = {
    "polygon": 3, "rectangle": 2, "oriented_rectangle": 4, "rotation": 3, "circle": 2, "line": 2, "linestrip": 2,
    "point": 1, "points": 1, "mask": 2,
}  # fmt: skip
"""Points of each kind of shape, at least."""
TURNED = ("oriented_rectangle", "rotation")
"""Boxes by their four corners: LabelMe's from version 6 on, and those of tools that write its files."""


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the image of a file. Its shapes say the classes; where it has none, the flags that are set say its tags."""
    name = content.get("imagePath")
    if not isinstance(name, str) or not name.strip():
        name = path.name
    size = size_of(content.get("imageHeight"), content.get("imageWidth"))
    image = DrawnImage(name, str(path), size, also=f"{path.parent.as_posix()}/{path.stem}")
    export.images.append(image)
    for place, item in enumerate(mappings(content.get("shapes")), start=1):
        where = f"{path} shape {place}"
        try:
            image.shapes += _shapes(item, where)
        except ValueError as error:
            export.problems.append(f"{where}: expected a shape of LabelMe, found {error}")
    flags = content.get("flags")
    if not image.shapes and isinstance(flags, Mapping):
        image.shapes += [Shape("tag", str(flag), f"{path} flags") for flag, is_set in flags.items() if is_set is True]


def _shapes(item: Mapping[str, Any], where: str) -> list[Shape]:
    label, kind = text(item.get("label")), item.get("shape_type") or "polygon"
    if kind not in LEAST:
        raise ValueError(f"shape_type {clipped(repr(kind), 40)}")
    points = pairs(item.get("points"), LEAST[kind])
    if kind in ("rectangle", *TURNED):
        return [Shape("box", label, where, points)]
    if kind in ("point", "points"):
        return [Shape("point", label, where, point[None]) for point in points]
    if kind in ("line", "linestrip"):
        return [Shape("stroke", label, where, points)]
    if kind == "circle":
        radius = math.hypot(*(points[1] - points[0]))
        x, y = points[0].tolist()
        return [Shape("area", label, where, ellipse(x, y, radius, radius))]
    if kind == "mask":
        (left, top), (right, bottom) = points[:2].astype(int).tolist()
        size = (bottom - top + 1, right - left + 1)
        return [Shape("area", label, where, bitmap=picture(partial(unpacked, item.get("mask")), left, top, size))]
    return [Shape("area", label, where, points)]
