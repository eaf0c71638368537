"""VIA 3: a JSON of files, attributes and metadata, or a CSV; a shape is a number and its coordinates in pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.annotations.tools.drawn import DrawnImage, Export, Floats, Kind, Shape
from pipeline.annotations.tools.values import ellipse, mapping, mappings, number, pairs, sides
from pipeline.annotations.tools.via import class_of
from pipeline.datasets.tables import TableLine, clipped

POINT, RECTANGLE, CIRCLE, ELLIPSE, LINE, POLYLINE, POLYGON = range(1, 8)
CHECKBOX = 2
HEADER = ("file_list", "spatial_coordinates", "metadata")


def add(export: Export, path: Path, content: Mapping[str, Any]) -> None:
    """Add the files of a project and their metadata: of a shape, or of the whole file (its tags)."""
    attributes, views = mapping(content.get("attribute")), mapping(content.get("view"))
    images: dict[str, DrawnImage] = {}
    for key, item in mapping(content["file"]).items():
        name = str(mapping(item).get("fname") or mapping(item).get("src", ""))
        images[str(key)] = DrawnImage(name, f"{path} '{name[:60]}'")
    export.images += images.values()
    for key, item in mapping(content["metadata"]).items():
        where = f"{path} metadata {str(key)[:40]}"
        try:
            image = _image_of(item, images, views)
            named = {_name(attributes, k): _value(attributes, k, v) for k, v in (item.get("av") or {}).items()}
            image.shapes += _shapes(item.get("xy"), named, where)
        except (ValueError, AttributeError) as error:
            export.problems.append(f"{where}: expected metadata of VIA 3, found {error}")


def add_table(export: Export, rows: Sequence[TableLine], attributes: Mapping[str, Any]) -> None:
    """Add the rows of a CSV: a list of files, coordinates and attributes in each."""
    by_name: dict[str, DrawnImage] = {}
    for row in rows:
        try:
            names = json.loads(row.cells["file_list"])
            name = str(names[0]) if isinstance(names, list) and names else str(names)
            image = by_name.setdefault(name, DrawnImage(name, row.where))
            given = json.loads(row.cells["metadata"] or "{}")
            named = {_name(attributes, k): _value(attributes, k, v) for k, v in given.items()}
            image.shapes += _shapes(json.loads(row.cells["spatial_coordinates"] or "[]"), named, row.where)
        except (ValueError, AttributeError, RecursionError) as error:
            export.problems.append(f"{row.where}: expected a row of VIA 3, found {clipped(str(error))}")
    export.images += by_name.values()


def _image_of(item: Any, images: Mapping[str, DrawnImage], views: Mapping[str, Any]) -> DrawnImage:
    view = str(item.get("vid"))
    files = views[view].get("fid_list") if isinstance(views.get(view), Mapping) else [view]
    image = images.get(str(files[0])) if isinstance(files, list) and files else None
    if image is None:
        raise ValueError(f"view {clipped(view, 40)} without a file")
    return image


def _name(attributes: Mapping[str, Any], key: str) -> str:
    known = attributes.get(str(key))
    return str(known.get("aname", key)) if isinstance(known, Mapping) else str(key)


def _value(attributes: Mapping[str, Any], key: str, value: Any) -> Any:
    """What was chosen: the text of an option by its key, of a checkbox several."""
    known = attributes.get(str(key))
    options = known.get("options") if isinstance(known, Mapping) else None
    if not isinstance(options, Mapping) or not options:
        return value
    if known is not None and known.get("type") == CHECKBOX:
        return {str(options.get(part, part)): True for part in str(value).split(",") if part}
    return options.get(str(value), value)


def _shapes(values: Any, named: Mapping[str, Any], where: str) -> list[Shape]:
    if not isinstance(values, list):
        raise ValueError(f"xy {clipped(repr(values), 40)}")
    names = class_of(named)
    if not values:
        return [Shape("tag", name, where) for name in names]
    kind, outline = _drawn(int(number(values[0])), values[1:])
    return [Shape(kind, name, where, outline) for name in names]


def _drawn(number_: int, values: list[Any]) -> tuple[Kind, Floats]:
    if number_ == POINT:
        return "point", pairs(values[:2])
    if number_ == RECTANGLE and len(values) == 4:
        return "box", sides(*values)
    if number_ == CIRCLE and len(values) == 3:
        x, y, radius = map(number, values)
        return "area", ellipse(x, y, radius, radius)
    if number_ == ELLIPSE and len(values) >= 4:
        x, y, across, down = map(number, values[:4])
        return "area", ellipse(x, y, across, down)
    if number_ in (LINE, POLYLINE):
        return "stroke", pairs(values, 2)
    if number_ == POLYGON:
        return "area", pairs(values, 3)
    raise ValueError(f"shape {number_} of {len(values)} numbers")


def attributes_of(content: Any) -> Mapping[str, Any]:
    """The attributes by their number; none where there is something else."""
    return content if isinstance(content, Mapping) and any(True for _ in mappings(content)) else {}
