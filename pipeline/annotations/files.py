"""Annotation files of people: boxes and points as CSV, boxes as VOC XML, points as What's-the-Point JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any, TypeVar

from models.errors import DataError, closest
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.densepose import is_densepose, part_points
from pipeline.datasets.folder import BACKGROUND_ONLY, SUFFIXES
from pipeline.datasets.tables import Row, read_table
from pipeline.datasets.voc_xml import object_boxes
from pipeline.storage.header import few

SHOWN = 20
Item = TypeVar("Item")


@dataclass(frozen=True)
class Box:
    """XYXY in pixels, right and bottom exclusive. Class None: an object that is there but not asked for."""

    corners: tuple[float, float, float, float]
    class_: int | None


@dataclass(frozen=True)
class Point:
    """A pixel and its class, 0 background or 1..C."""

    row: int
    column: int
    class_: int


def boxes_of_csv(path: Path, catalogue: Catalogue) -> dict[str, list[Box]]:
    """Boxes by id from columns image, class, x1, y1, x2, y2; a ``background`` row says that there is no object.

    Raises:
        DataError: everything that is wrong, with line numbers.
    """

    def box(row: Row, class_: int, size: tuple[int, int]) -> Box | None:
        if class_ == 0:
            return None
        x1, y1, x2, y2 = (_number(row, key) for key in ("x1", "y1", "x2", "y2"))
        clipped = max(x1, 0.0), max(y1, 0.0), min(x2, float(size[1])), min(y2, float(size[0]))
        if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
            height, width = size
            raise ValueError(f"expected x1 < x2 and y1 < y2 in an image of {width} x {height}, found {x1, y1, x2, y2}")
        return Box(clipped, class_)

    return _by_image(path, catalogue, ("x1", "y1", "x2", "y2"), box)


def points_of_csv(path: Path, catalogue: Catalogue) -> dict[str, list[Point]]:
    """Points by id from columns image, class, x, y; the class may be ``background``.

    Raises:
        DataError: everything that is wrong, with line numbers.
    """

    def point(row: Row, class_: int, size: tuple[int, int]) -> Point:
        x, y = _number(row, "x"), _number(row, "y")
        if not (0 <= x < size[1] and 0 <= y < size[0]):
            raise ValueError(f"expected a point within an image of {size[1]} x {size[0]}, found x={x:g}, y={y:g}")
        return Point(int(y), int(x), class_)

    return _by_image(path, catalogue, ("x", "y"), point)


def boxes_of_xml(folder: Path, catalogue: Catalogue, ids: Sequence[str]) -> dict[str, list[Box]]:
    """Boxes by id from VOC XML files; objects that are "difficult" or of classes not kept have class None.

    Raises:
        DataError: files that are no VOC XML. Files that are not there are left to the caller.
    """
    problems, found = [], {}
    for id in ids:
        path = folder / f"{id}.xml"
        if not path.is_file():
            continue
        height, width = catalogue.size(id)
        try:
            found[id] = [
                Box(
                    (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))),
                    catalogue.class_names.index(name) + 1 if name in catalogue.class_names and not difficult else None,
                )
                for name, difficult, (x1, y1, x2, y2) in object_boxes(path)
            ]
        except DataError as error:
            problems.append(str(error))
    raise_together(problems)
    return found


def points_of_json(path: Path, catalogue: Catalogue, supplementary: bool) -> dict[str, list[Point]]:
    """Points by id from the JSON of What's the Point (Bearman et al., ECCV 2016): id -> {"main": [...], "supp": [...]}.

    A point has ``x``, ``y`` in pixels, ``cls`` in the data set's own numbers (VOC 1..20) and ``rank``. Points of
    classes that the catalogue does not keep are left out. The JSON of DensePose-COCO is understood too: one point for
    each part of each person, and one on the background.

    Raises:
        DataError: not such a file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if is_densepose(content):
            found = ((id, points) for id, points in part_points(content) if id in catalogue.entries)
            return {id: [Point(*point) for point in points] for id, points in found}
        return {
            id: _json_points(points, catalogue, supplementary)
            for id, points in content.items()
            if id in catalogue.entries
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected a JSON of points as What's the Point publishes them "
            "(id -> {main: [{x, y, cls, rank}], supp: ...}), or of DensePose-COCO, found "
            f"{type(error).__name__}: {error}."
        ) from None


def points_within(
    points: Mapping[str, Sequence[Point]], catalogue: Catalogue, ids: Sequence[str]
) -> dict[str, list[Point]]:
    """Points of these images. One within a pixel of the image moves to its border; others outside are left out.

    Warns of points left out: people's clicks are on no pixel then, or of another size of the image.
    """
    found: dict[str, list[Point]] = {}
    outside = []
    for id in ids:
        if id not in points:
            continue
        height, width = catalogue.size(id)
        found[id] = []
        for point in points[id]:
            moved = replace(
                point, row=min(max(point.row, 0), height - 1), column=min(max(point.column, 0), width - 1)
            )  # fmt: skip
            if max(abs(moved.row - point.row), abs(moved.column - point.column)) > 1:
                outside.append(f"'{id}' ({width} x {height}) x={point.column}, y={point.row}")
            else:
                found[id].append(moved)
    if outside:
        warnings.warn(f"Points outside of their image are left out ({len(outside)}): {few(outside)}.", stacklevel=2)
    return found


def raise_together(problems: Sequence[str]) -> None:
    """Raises DataError with all problems, at most one screen."""
    if problems:
        more = [f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise DataError("\n  ".join([f"Bad annotations ({len(problems)}):", *problems[:SHOWN], *more]))


def _json_points(points: Any, catalogue: Catalogue, supplementary: bool) -> list[Point]:
    chosen = [*points["main"], *(points["supp"] if supplementary else [])]
    return [
        Point(
            row=floor(point["y"]),
            column=floor(point["x"]),
            class_=catalogue.mask_values.index(point["cls"]) + 1,
        )
        for point in sorted(chosen, key=lambda point: int(point["rank"]))
        if point["cls"] in catalogue.mask_values
    ]


def _by_image(
    path: Path,
    catalogue: Catalogue,
    columns: Sequence[str],
    make: Callable[[Row, int, tuple[int, int]], Item | None],
) -> dict[str, list[Item]]:
    problems: list[str] = []
    found: dict[str, list[Item]] = {}
    for row in read_table(path, ["image", "class", *columns])[1]:
        name = row.cells["image"]
        id = name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
        if id in catalogue.left_out or (catalogue.limit is not None and id not in catalogue.entries):
            continue
        try:
            if id not in catalogue.entries:
                raise ValueError(f"expected an image of catalogue '{catalogue.name}', found '{name}'")
            item = make(row, _class(row, catalogue), catalogue.size(id))
            found.setdefault(id, []).extend([] if item is None else [item])
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
    raise_together(problems)
    return found


def _class(row: Row, catalogue: Catalogue) -> int:
    name = row.cells["class"]
    if name == BACKGROUND_ONLY:
        return 0
    if name not in catalogue.class_names:
        raise ValueError(f"unknown class '{name}'.{closest(name, (*catalogue.class_names, BACKGROUND_ONLY))}")
    return catalogue.class_names.index(name) + 1


def _number(row: Row, key: str) -> float:
    try:
        return float(row.cells[key])
    except ValueError:
        raise ValueError(f"expected a number of pixels as {key}, found '{row.cells[key]}'") from None
