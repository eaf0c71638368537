"""Boxes and points of a labelling tool's export, for the kinds that take them alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path

from models.errors import DataError
from pipeline.annotations.drawings import Drawings, Item, find_export, read_drawings
from pipeline.annotations.items import Box, FileItems, Point
from pipeline.annotations.items import Item as Taken
from pipeline.annotations.tools.drawn import Kind
from pipeline.annotations.tools.rasters import tight_box
from pipeline.annotations.tools.reading import TOOLS, tool_of_file
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import first_of

POINTS: tuple[Kind, ...] = ("point",)
TOOLS_BY_NAME = {name: tool for tool, name in TOOLS.items()}


def is_of_a_tool(path: Path, read_elsewhere: Collection[str] = ()) -> bool:
    """Whether a labelling tool wrote a file or folder; not if it is one of those that are read elsewhere.

    Raises:
        DataError: a damaged file of a tool, or the exports of several tools.
    """
    if not path.exists() or (read_elsewhere and path.is_file() and tool_of_file(path) in read_elsewhere):
        return False
    export = find_export(path)
    return export is not None and TOOLS_BY_NAME[export.tool] not in read_elsewhere


def boxes_of_tool(path: Path, catalogue: Catalogue) -> FileItems[Box]:
    """Boxes, and the boxes around areas.

    Raises:
        DataError: neither is there, several people drew one image, or everything that surely is wrong.
    """
    return _taken(read_drawings(path, catalogue), "boxes", ("box", "area"), _box)


def points_of_tool(path: Path, catalogue: Catalogue) -> FileItems[Point]:
    """Points. Raises DataError as :func:`boxes_of_tool`."""
    return _taken(read_drawings(path, catalogue), "points", POINTS, _point)


def _taken(
    drawings: Drawings, what: str, kinds: Collection[Kind], made: Callable[[Item], Taken | None]
) -> FileItems[Taken]:
    several = [id for id, people in drawings.annotators.items() if len(people) > 1]
    if several:
        raise DataError(
            f"{drawings.source}: expected one person's {what} of an image, found those of several for {len(several)} "
            f"images: {first_of(several)}. Remedy: `kind: shapes` with `options: {{annotators: majority}}` or `union`."
        )
    kept = {
        id: [taken for i in items if _counts(i, kinds) and (taken := made(i)) is not None]
        for id, items in drawings.items.items()
    }
    if not any(kept.values()):
        remedy = "Remedy: write `kind: shapes`, which takes whatever there is, image by image."
        raise DataError(f"{drawings.source}: expected {what}, found {drawings.what}. {remedy}")
    there = {id: items for id, items in kept.items() if items or id in drawings.empty}
    return FileItems(there, drawings.classes(kinds), drawings.notices, drawings.strangers)


def _counts(item: Item, kinds: Collection[Kind]) -> bool:
    """A box of an object that is not asked for says that there is something; a point says nothing then."""
    return item.shape.kind in kinds and (item.shape.kind != "point" or item.class_ is not None)


def _box(item: Item) -> Box | None:
    """The box, or the one around the pixels of an area; None where it has no pixel."""
    if item.shape.bitmap is not None:
        try:
            tight = tight_box(item.shape.bitmap)
        except ValueError as error:
            raise DataError(f"{item.shape.where}: expected an area, found {error}.") from None
        return None if tight is None else Box(tight, item.class_)
    x1, y1, x2, y2 = item.numbers
    return Box((x1, y1, x2, y2), item.class_)


def _point(item: Item) -> Point:
    x, y = item.numbers
    return Point(math.floor(y), math.floor(x), item.class_ or 0)
