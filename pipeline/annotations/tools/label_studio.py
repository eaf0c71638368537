"""Label Studio: tasks as JSON, or one line for each annotation (JSON-MIN, CSV). Its numbers are percents."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotations.tools.brush import label_studio_pixels
from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Floats, Shape
from pipeline.annotations.tools.values import (
    address_path,
    ellipse,
    mappings,
    number,
    pairs,
    sides,
    size_of,
    text,
    turned,
    turned_box,
)
from pipeline.datasets.image_formats import SUFFIXES
from pipeline.datasets.images import MAX_PIXELS
from pipeline.datasets.tables import TableLine, clipped
from pipeline.problems.notices import first_of

PERCENT = 100.0
PREDICTION = "prediction that nobody has accepted in the tool yet"
GEOMETRY = ("x", "points", "rle", "vertices")
OWN_COLUMNS = (
    "id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "completed_by", "annotations",
    "total_annotations", "agreement", "inner_id", "file_upload", "meta", "project", "predictions", "drafts",
)  # fmt: skip
"""What a line of JSON-MIN or CSV has beside the data and the answers."""


def add(export: Export, path: Path, content: list[Any]) -> None:
    """Add tasks, or the lines of JSON-MIN. Cancelled annotations and predictions are left out."""
    for place, item in enumerate(mappings(content)):
        where = f"{path} task {item.get('id', place)}"
        if isinstance(item.get("data"), Mapping):
            _add_task(export, item, where)
        else:
            _add_line(export, item, where)


def add_table(export: Export, rows: list[TableLine]) -> None:
    """Add the rows of a CSV, whose cells hold JSON where the answer is more than one word."""
    for row in rows:
        _add_line(export, {key: _parsed(cell) for key, cell in row.cells.items()}, row.where)


def _add_task(export: Export, task: Mapping[str, Any], where: str) -> None:
    image = _image(export, task["data"], where)
    if image is None:
        return
    answers = task.get("annotations") or task.get("completions") or []
    for _ in mappings([] if answers else task.get("predictions")):
        export.skip(PREDICTION)
    for answer in mappings(answers):
        if answer.get("was_cancelled") is True:
            export.skip("cancelled annotation")
            continue
        annotator = _annotator(answer.get("completed_by"), answer.get("id"))
        image.annotators.add(annotator)
        results = answer.get("result")
        if not isinstance(results, list) or not all(isinstance(item, Mapping) for item in results):
            found = f"{clipped(repr(results), 60)} among {first_of(list(answer), 8)}"
            export.problems.append(f"{where}: expected a list of results as `result` of an annotation, found {found}.")
        for item in mappings(results):
            _add_result(export, image, item, annotator, f"{where} result {str(item.get('id', ''))[:20]}")


def _add_line(export: Export, line: Mapping[str, Any], where: str) -> None:
    """Each key that is not Label Studio's own is the image, or an answer: words are choices, lists are shapes."""
    image = _image(export, line, where)
    if image is None:
        return
    annotator = _annotator(line.get("annotator"), line.get("annotation_id"))
    image.annotators.add(annotator)
    for key, value in line.items():
        if key in OWN_COLUMNS or address_path(value) == image.name or value in ("", None):
            continue
        if isinstance(value, Mapping) and isinstance(value.get("choices"), list):
            value = value["choices"]
        if isinstance(value, str):
            image.shapes.append(Shape("tag", value.strip(), where, annotator=annotator))
        for item in value if isinstance(value, list) else ():
            if isinstance(item, str):
                image.shapes.append(Shape("tag", item.strip(), where, annotator=annotator))
            elif isinstance(item, Mapping):
                kind = next((kind for kind in _SHAPES if kind in item), "labels" if "labels" in item else "")
                result = {**item, "type": kind, "value": item}
                _add_result(export, image, result, annotator, f"{where} '{key[:30]}'")


def _image(export: Export, data: Mapping[str, Any], where: str) -> DrawnImage | None:
    """The image that a task shows: the value that ends like an image file."""
    named = [address_path(value) for value in data.values() if isinstance(value, str) and len(value) < 4096]
    name = next((name for name in named if name.lower().endswith(SUFFIXES)), None)
    if name is None and isinstance(data.get("image"), str):
        name = address_path(data["image"])
    if name is None:
        export.problems.append(f"{where}: expected the name of an image, found {clipped(', '.join(map(str, data)))}")
        return None
    image = DrawnImage(name, where)
    export.images.append(image)
    return image


def _annotator(person: Any, number_: Any) -> str:
    """Who answered; of an annotation whose person is not named, the annotation."""
    if isinstance(person, Mapping):
        person = person.get("id", person.get("email"))
    return str(person if person not in (None, "") else f"annotation {number_}")


def _parsed(cell: str) -> Any:
    if cell[:1] not in ("[", "{"):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _add_result(export: Export, image: DrawnImage, item: Mapping[str, Any], annotator: str, where: str) -> None:
    kind = str(item.get("type", "")).lower()[:20]
    value = item.get("value")
    if kind == "labels" and isinstance(value, Mapping):  # of a configuration with Labels beside shapes
        shape = next((shape for keys, shape in _BY_KEYS if keys <= value.keys()), "")
        value, kind = {**value, shape: value.get("labels")}, shape
    if kind not in _SHAPES or not isinstance(value, Mapping):
        export.skip(kind or "result")
        return
    if kind == "choices" and any(key in value for key in GEOMETRY):
        export.skip("choice about a shape")
        return
    try:
        if number(item.get("image_rotation") or 0) % 360:
            raise ValueError("an image that was turned in the tool. Remedy: turn it back there, and export again")
        size = size_of(item.get("original_height"), item.get("original_width"))
        image.size = image.size or size
        shapes = _SHAPES[kind](value, size)
        for name in _names(value, kind):
            image.shapes += [shape(name=name, where=where, annotator=annotator) for shape in shapes]
    except ValueError as error:
        export.problems.append(f"{where}: expected {kind} of Label Studio, found {error}")


def _names(value: Mapping[str, Any], kind: str) -> list[str]:
    names = value.get(kind) or value.get("labels")
    if isinstance(names, str):
        return [names.strip()]
    if not isinstance(names, list) or not names:
        raise ValueError("no label. Remedy: give the shape one in the tool, or delete it")
    return [text(name) for name in names]


_Size = tuple[int, int] | None
_Made = Callable[..., Shape]


def _placed(points: Floats, size: _Size) -> Floats:
    """Percents as pixels, or as shares where the size is not known."""
    return points / PERCENT * (np.array([size[1], size[0]], np.float64) if size else 1.0)


def _shape(kind: str, outline: Floats, size: _Size, **more: Any) -> _Made:
    return partial(Shape, kind, outline=outline, shares=size is None, **more)  # type: ignore[arg-type]


def _choices(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    yield partial(Shape, "tag")


def _box(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    """A rectangle is turned about its left top corner, in pixels."""
    box = _placed(sides(*(value.get(key) for key in ("x", "y", "width", "height"))), size)
    rotation = number(value.get("rotation") or 0)
    yield _shape("box", turned_box(box, _turnable(rotation, size), box[0]), size)


def _polygon(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    yield _shape("area", _placed(pairs(value.get("points"), 3), size), size)


def _vector(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    closed = value.get("closed") is True
    points = pairs(value.get("vertices"), 3 if closed else 2)
    yield _shape("area" if closed else "stroke", _placed(points, size), size)


def _point(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    yield _shape("point", _placed(pairs([value.get("x"), value.get("y")]), size), size)


def _ellipse(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    """x and y are the middle, about which it is turned."""
    x, y, across, down = (number(value.get(key)) for key in ("x", "y", "radiusX", "radiusY"))
    rotation = number(value.get("rotation") or 0)
    outline, middle = _placed(ellipse(x, y, across, down), size), _placed(np.array([x, y]), size)
    yield _shape("area", turned(outline, _turnable(rotation, size), middle), size)


def _turnable(rotation: float, size: _Size) -> float:
    if size is None and rotation:
        raise ValueError("a turned shape without original_width and original_height")
    return rotation


def _brush(value: Mapping[str, Any], size: _Size) -> Iterator[_Made]:
    if size is None or size[0] * size[1] > MAX_PIXELS:
        raise ValueError("a brush without original_width and original_height, or of too large ones")
    bitmap = Bitmap(0, 0, size, partial(label_studio_pixels, value.get("rle"), size))
    yield partial(Shape, "area", bitmap=bitmap, brush=True)


_SHAPES: dict[str, Callable[[Mapping[str, Any], _Size], Iterator[_Made]]] = {
    "choices": _choices,
    "rectanglelabels": _box,
    "polygonlabels": _polygon,
    "keypointlabels": _point,
    "ellipselabels": _ellipse,
    "brushlabels": _brush,
    "vectorlabels": _vector,
}
_BY_KEYS = (
    ({"rle"}, "brushlabels"),
    ({"points"}, "polygonlabels"),
    ({"vertices"}, "vectorlabels"),
    ({"radiusX", "radiusY"}, "ellipselabels"),
    ({"x", "y", "width", "height"}, "rectanglelabels"),
    ({"x", "y"}, "keypointlabels"),
)
"""What a shape is that says it by its keys alone."""
