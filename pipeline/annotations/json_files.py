"""Boxes and points as JSON: COCO's instances, the points of What's the Point and of DensePose-COCO."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.annotations.class_names import ClassNames
from pipeline.annotations.geometry import check_sizes
from pipeline.annotations.items import Mark, Marks, Numbers
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.class_names import VOC_CLASSES
from pipeline.datasets.coco_values import key_of, whole_number, without_regions
from pipeline.datasets.densepose import is_densepose, part_points
from pipeline.datasets.exports import EXPORTS, json_export
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.tables import clipped, read_text
from pipeline.problems.notices import Notice, first_of

POINTS = (
    "a JSON of points as What's the Point publishes them (id -> {main: [{x, y, cls, rank}], supp: ...}), or of "
    "DensePose-COCO"
)
BOXES = "COCO's JSON of boxes (lists images, annotations with bbox, and categories)"


def marks_of_coco(path: Path, catalogue: Catalogue) -> Marks:
    """Boxes of a COCO file of annotations; an image without annotations has no object, and crowds have class None.

    Raises:
        DataError: no such file. What is wrong with its annotations is in the result.
    """
    content = json_content(path, BOXES, without_regions)
    if json_export(content) is not EXPORTS["coco"] or not isinstance(content.get("categories"), list):
        raise _other(path, BOXES, content)
    marks, names, classes = Marks(str(path)), ImageNames(catalogue), ClassNames(catalogue)
    images = _coco_images(path, content, catalogue, names, marks)
    categories = _coco_categories(path, content, marks)
    strange = 0
    for place, item in enumerate(content["annotations"]):
        where = f"{path} annotation {item.get('id', place) if isinstance(item, Mapping) else place}"
        key = key_of(item.get("image_id")) if isinstance(item, Mapping) else None
        if key is None or key not in images:
            strange += 1
            continue
        id = images[key]
        if id is None:
            continue
        name = categories.get(key_of(item.get("category_id")))
        box = _numbers(item.get("bbox"), 4)
        if name is None or box is None:
            wrong = f"category_id {item.get('category_id')!r}" if name is None else f"bbox {item.get('bbox')!r}"
            expected = "a category of the file" if name is None else "bbox of x, y, width, height"
            marks.problems.append(f"{where}: expected {expected}, found {clipped(wrong)}")
            continue
        number = classes.number(name, where)
        x, y, width, height = box
        crowd = item.get("iscrowd") in (1, True)
        marks.add(Mark(where, id, None if crowd else number, (x, y, x + width, y + height)), number)
    if strange:
        marks.problems.append(f"{path}: {strange} annotations are of no image of the file (image_id).")
    marks.problems += classes.misspelt()
    marks.notices += classes.notices()
    return marks


def marks_of_points(path: Path, catalogue: Catalogue, supplementary: bool) -> Marks:
    """Points of the JSON of What's the Point (Bearman et al., ECCV 2016): id -> {"main": [...], "supp": [...]}.

    A point has ``x``, ``y`` in pixels, ``cls`` in the data set's own numbers (VOC 1..20) and ``rank``. Points of
    classes that the catalogue does not keep are left out and counted. The JSON of DensePose-COCO is understood too: one
    point for each part of each person, and one on the background.

    Raises:
        DataError: not such a file.
    """
    content = json_content(path, POINTS)
    marks, names, known = Marks(str(path)), ImageNames(catalogue), json_export(content)
    unknown: Counter[int] = Counter()
    if known not in (None, EXPORTS["whats_the_point"], EXPORTS["coco"]) or not isinstance(content, Mapping):
        raise _other(path, POINTS, content)
    try:
        if is_densepose(content):
            _check_densepose(path, content)
            for name, points in part_points(content):
                if (id := names.find(name)) in catalogue.entries and id is not None:
                    _add_all(marks, id, ((class_, (column, row)) for row, column, class_ in points))
        else:
            for name, points in content.items():
                if (id := names.find(name)) in catalogue.entries and id is not None:
                    _add_all(marks, id, _ranked(points, catalogue, supplementary, unknown))
                elif id is None:
                    marks.strangers.setdefault(name, str(path))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        found = f"{type(error).__name__}: {clipped(str(error))[1:-1]}"
        raise DataError(f"{path}: expected {POINTS}, found {found}.") from None
    if known is None and not marks.images:
        raise _other(path, POINTS, content)
    marks.notices += _unknown_numbers(path, unknown, catalogue)
    return marks


def _check_densepose(path: Path, content: Mapping[str, Any]) -> None:
    """COCO's own annotations have the same lists, and no points."""
    if content["annotations"] and not any("dp_I" in person for person in _mappings(content["annotations"])):
        raise DataError(f"{path}: expected {POINTS}, found {EXPORTS['coco']}")


def _add_all(marks: Marks, id: str, points: Iterator[tuple[int, Numbers]]) -> None:
    marks.images.setdefault(id)
    for class_, numbers in points:
        marks.add(Mark(marks.source, id, class_, numbers))


def _ranked(
    points: Any, catalogue: Catalogue, supplementary: bool, unknown: Counter[int]
) -> Iterator[tuple[int, Numbers]]:
    """(class, (x, y)) in the order of their ranks; numbers of no class are counted in ``unknown``."""
    chosen = [*points["main"], *(points["supp"] if supplementary else [])]
    for point in sorted(chosen, key=lambda point: int(point["rank"])):
        numbers = float(point["x"]), float(point["y"])
        value = whole_number(point["cls"])  # some programs write numbers as text
        if value is None:
            raise ValueError(f"cls {clipped(str(point['cls']), 40)} in place of a whole number")
        if value in catalogue.mask_values:
            yield catalogue.mask_values.index(value) + 1, numbers
        else:
            unknown[value] += 1


def _unknown_numbers(path: Path, unknown: Counter[int], catalogue: Catalogue) -> Iterator[Notice]:
    """Of points whose class the catalogue does not have; VOC's own that ``classes:`` leaves out are no news."""
    own = dict(zip(catalogue.mask_values, catalogue.class_names, strict=True))
    voc = dict(enumerate(VOC_CLASSES, start=1))
    left_out = voc.keys() if own.items() <= voc.items() else ()
    strange = Counter({value: count for value, count in unknown.items() if value not in left_out})
    if not strange:
        return
    counted = [f"{value} ({count})" for value, count in sorted(strange.items(), key=lambda item: (-item[1], item[0]))]
    yield Notice(
        "unknown_classes",
        strange.total(),
        f"{path}: {strange.total()} points are left out, whose class (cls) the catalogue does not have: "
        f"{first_of(counted, 8)}. It has {first_of([f'{value} {name}' for value, name in own.items()], 8)}. Remedy: "
        "write the data set's own numbers where that is a slip.",
    )


def _two_of_one_id(path: Path, what: str, key: int | str | None, first: str, second: str) -> str:
    return (
        f"{path}: expected one {what} of each id, found id {key!r:.60} of '{first[:60]}' and of '{second[:60]}'. "
        "Remedy: give each an id of its own, in its annotations too."
    )


def _coco_categories(path: Path, content: Mapping[str, Any], marks: Marks) -> dict[int | str | None, str]:
    """The file's id of a category -> its name; two names of one id are a problem, for an annotation may mean either."""
    categories: dict[int | str | None, str] = {}
    for item in _mappings(content["categories"]):
        name, key = str(item.get("name")).strip(), key_of(item.get("id"))
        if (first := categories.setdefault(key, name)) != name:
            marks.problems.append(_two_of_one_id(path, "category", key, first, name))
    return categories


def _coco_images(
    path: Path, content: Mapping[str, Any], catalogue: Catalogue, names: ImageNames, marks: Marks
) -> dict[int | str | None, str | None]:
    """The file's id of an image -> its own, or None where the catalogue does not have it.

    Two files of one id are a problem, for an annotation may mean either.
    """
    images: dict[int | str | None, str | None] = {}
    named: dict[int | str | None, str] = {}
    stated = []
    for item in _mappings(content["images"]):
        name, key = str(item.get("file_name", "")), key_of(item.get("id"))
        id = names.find(name)
        if id is None and catalogue.limit is None:
            marks.strangers.setdefault(name, str(path))
        images[key] = id if id in catalogue.entries else None
        if (first := named.setdefault(key, name)) != name:
            marks.problems.append(_two_of_one_id(path, "image", key, first, name))
        if id is None or id not in catalogue.entries:
            continue
        marks.images.setdefault(id)
        size = _numbers([item.get("height"), item.get("width")], 2)
        if size is not None and min(size) >= 1 and max(size) < float("inf"):
            stated.append((id, f"'{name[:60]}'", (int(size[0]), int(size[1]))))
    check_sizes(marks, catalogue, stated)
    if marks.strangers and marks.images:
        count = len(marks.strangers)
        marks.notices.append(
            Notice(
                "annotations_without_image",
                count,
                f"{path}: {count} of its {len(images)} images are not in catalogue '{catalogue.name}': "
                f"{first_of([clipped(name)[1:-1] for name in marks.strangers])}.",
            )
        )
    return images


def json_content(path: Path, expected: str, hook: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> Any:
    """What a JSON file says.

    Args:
        path: of the file.
        expected: what should be there, for messages.
        hook: changes each object as soon as it is read.

    Raises:
        DataError: no JSON.
    """
    text = read_text(path, expected)
    try:
        return json.loads(text, object_hook=hook)
    except (ValueError, RecursionError) as error:
        found = "lists within lists without end" if isinstance(error, RecursionError) else str(error)[:120]
        found += " (JSON Lines?)" if found.startswith("Extra data") else ""
        raise DataError(f"{path}: expected {expected}, found damaged JSON ({found}).") from None


def _other(path: Path, expected: str, content: Any) -> DataError:
    known = json_export(content)
    return DataError(f"{path}: expected {expected}, found {known or 'JSON of another kind.'}")


def _mappings(items: Any) -> Iterator[Mapping[str, Any]]:
    yield from (item for item in items if isinstance(item, Mapping)) if isinstance(items, list) else ()


def _numbers(values: Any, count: int) -> Numbers | None:
    """So many numbers, or None where there is something else (a bool or text is none)."""
    if not isinstance(values, list) or len(values) != count:
        return None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    try:
        return tuple(float(value) for value in values)
    except OverflowError:
        return None
