"""VIA 1 and 2 (VGG Image Annotator): regions in pixels, as JSON, as a project, or as a CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.annotations.tools.drawn import DrawnImage, Export, Shape
from pipeline.annotations.tools.values import ellipse, mapping, mappings, number, pairs, sides, turned
from pipeline.datasets.tables import TableLine, clipped

CLASS_NAMES = ("class", "label", "name", "category", "type", "object", "classname", "labelname", "species")
"""What people call the attribute that is the class, in small letters without blanks and underscores."""


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the images of an export of annotations, or of a project."""
    images = content.get("_via_img_metadata", content)
    for item in mappings(images):
        if isinstance(item.get("filename"), str):
            image = DrawnImage(item["filename"], f"{path} '{item['filename'][:60]}'")
            export.images.append(image)
            image.shapes += _tags(item.get("file_attributes"), image.where)
            for place, region in enumerate(mappings(item.get("regions")), start=1):
                _add_region(export, image, f"{image.where} region {place}", region)


def add_table(export: Export, rows: Sequence[TableLine], columns: Mapping[str, str]) -> None:
    """Add the rows of a CSV, one for each region.

    Args:
        rows: of the table.
        columns: "filename", "file_attributes", "region_shape_attributes", "region_attributes" -> the table's name.
    """
    by_name: dict[str, DrawnImage] = {}
    for row in rows:
        name = row.cells[columns["filename"]]
        try:
            if name not in by_name:
                by_name[name] = DrawnImage(name, row.where)
                export.images.append(by_name[name])
                given = row.cells.get(columns.get("file_attributes", ""), "")
                by_name[name].shapes += _tags(_parsed(given), row.where)
            shape = _parsed(row.cells[columns["region_shape_attributes"]])
            region = {
                "shape_attributes": shape,
                "region_attributes": _parsed(row.cells[columns["region_attributes"]]),
            }
        except ValueError as error:
            export.problems.append(f"{row.where}: expected JSON in the cells of a region, found {error}")
            continue
        if shape:
            _add_region(export, by_name[name], row.where, region)


def class_of(attributes: Any) -> list[str]:
    """The classes of a region, or of a file: the attribute that is called so, or the only one that has a value.

    Raises:
        ValueError: none, or several of which none is called like a class.
    """
    given = {str(key): value for key, value in mapping(attributes).items() if value not in ("", None, {})}
    like = [key for key in given if re.sub(r"[\s_-]", "", key).casefold() in CLASS_NAMES]
    first = sorted(like, key=lambda key: CLASS_NAMES.index(re.sub(r"[\s_-]", "", key).casefold()))
    chosen = first[0] if first else next(iter(given)) if len(given) == 1 else None
    if chosen is None:
        there = f"attributes {', '.join(given)[:80]}, none of which is called class or label" if given else "no class"
        raise ValueError(f"{there}. Remedy: an attribute `class` of each region")
    value = given[chosen]
    if isinstance(value, Mapping):  # of a checkbox
        return [str(key).strip() for key, is_set in value.items() if is_set is True]
    return [str(value).strip()]


def _tags(attributes: Any, where: str) -> list[Shape]:
    """A file's own class: only of an attribute that is called so, since files have captions and addresses too."""
    like = {
        key: value
        for key, value in mapping(attributes).items()
        if re.sub(r"[\s_-]", "", str(key)).casefold() in CLASS_NAMES and value not in ("", None)
    }
    return [Shape("tag", name, where) for name in class_of(like)] if like else []


def _add_region(export: Export, image: DrawnImage, where: str, region: Mapping[str, Any]) -> None:
    shape = mapping(region.get("shape_attributes"))
    kind = str(shape.get("name"))[:20]
    try:
        if kind not in _SHAPES:
            raise ValueError(f"shape '{kind}'")
        drawn, outline = _SHAPES[kind](shape)
        for name in class_of(region.get("region_attributes")):
            image.shapes.append(Shape(drawn, name, where, outline))  # type: ignore[arg-type]
    except ValueError as error:
        export.problems.append(f"{where}: expected a region of VIA, found {error}")


def _parsed(cell: str) -> Any:
    try:
        return json.loads(cell) if cell else {}
    except (ValueError, RecursionError):
        raise ValueError(clipped(cell, 60)) from None


def _xy(shape: Mapping[str, Any], least: int) -> Any:
    across, down = shape.get("all_points_x"), shape.get("all_points_y")
    if not isinstance(across, list) or not isinstance(down, list) or len(across) != len(down):
        raise ValueError("all_points_x and all_points_y that are no lists of equal length")
    return pairs([list(pair) for pair in zip(across, down, strict=True)], least)


def _ellipse(shape: Mapping[str, Any]) -> Any:
    x, y, across, down = (number(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
    theta = number(shape.get("theta", 0))  # radians
    return turned(ellipse(x, y, across, down), theta * 57.29577951308232, (x, y))


def _circle(shape: Mapping[str, Any]) -> Any:
    x, y, radius = (number(shape.get(key)) for key in ("cx", "cy", "r"))
    return ellipse(x, y, radius, radius)


_SHAPES: dict[str, Callable[[Mapping[str, Any]], tuple[str, Any]]] = {
    "rect": lambda shape: ("box", sides(*(shape.get(key) for key in ("x", "y", "width", "height")))),
    "circle": lambda shape: ("area", _circle(shape)),
    "ellipse": lambda shape: ("area", _ellipse(shape)),
    "polygon": lambda shape: ("area", _xy(shape, 3)),
    "polyline": lambda shape: ("stroke", _xy(shape, 2)),
    "point": lambda shape: ("point", pairs([shape.get("cx"), shape.get("cy")])),
}
