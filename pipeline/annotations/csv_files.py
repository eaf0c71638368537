"""Boxes and points as CSV: one row each, with columns image, class and coordinates in pixels from 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.annotations.class_names import ClassNames
from pipeline.annotations.geometry import check_sizes
from pipeline.annotations.items import Mark, Marks
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.tables import TableLine, clipped, read_table
from pipeline.problems.notices import Notice, first_of

OTHER_NAMES = {
    "image": ("filename", "file", "imagename", "imageid", "imagepath", "filepath", "path", "img", "fname"),
    "class": ("label", "name", "classname", "category", "categoryname", "labelname"),
    "x1": ("xmin", "left", "x0"),
    "y1": ("ymin", "top", "y0"),
    "x2": ("xmax", "right"),
    "y2": ("ymax", "bottom"),
}
"""Names that tools give the columns, in small letters and without blanks or underscores."""
SIZE = ("width", "height")
"""Columns that many tools add: of the image that was annotated, or of the box."""
INCLUSIVE = 1
"""Pixels that the size of a box may differ from x2 - x1: some tools count the last pixel, others do not."""


def marks_of_csv(path: Path, catalogue: Catalogue, columns: Sequence[str]) -> Marks:
    """Rows of a table as marks; a row of class ``background`` says that there is no object, or is a point on it.

    Args:
        path: of the table.
        catalogue: of the images.
        columns: x1, y1, x2, y2 or x, y.

    Raises:
        DataError: no such table. What is wrong with its rows is in the result.
    """
    names = {name: others for name, others in OTHER_NAMES.items() if name in ("image", "class", *columns)}
    header, rows = read_table(path, ["image", "class", *columns], names)
    images, classes = ImageNames(catalogue), ClassNames(catalogue, background=True)
    marks = Marks(str(path))
    stated: dict[tuple[str, tuple[int, int]], str] = {}
    sized = all(name in header for name in SIZE) and not _of_boxes(rows, columns)
    for row in rows:
        id = images.find(row.cells["image"])
        if id is None and catalogue.limit is None:
            marks.strangers.setdefault(row.cells["image"], row.where)
        if id is None or id not in catalogue.entries:
            continue
        if sized and (size := _size(row)) is not None:
            stated.setdefault((id, size), row.where)
        _add(row, id, classes, columns, marks)
    marks.notices += _both(marks)
    marks.problems += classes.refused()
    _refuse_strangers(marks, catalogue, images)
    check_sizes(marks, catalogue, [(id, where, size) for (id, size), where in stated.items()])
    if marks.other_size:
        marks.problems[0] += f" If columns {', '.join(SIZE)} are not of the images, leave them out or rename them."
    return marks


def _of_boxes(rows: Sequence[TableLine], columns: Sequence[str]) -> bool:
    """Whether the columns of :data:`SIZE` are the sides of the boxes, in every row that has one."""
    if len(columns) != 4:
        return False
    sides = [_sides(row, columns) for row in rows if any(row.cells[name] for name in columns)]
    return bool(sides) and all(
        one is not None and all(abs(stated - side) <= INCLUSIVE for stated, side in one) for one in sides
    )


def _sides(row: TableLine, columns: Sequence[str]) -> list[tuple[float, float]] | None:
    """(stated, between the corners) of width and height; None where one of them is no number."""
    try:
        x1, y1, x2, y2, width, height = (float(row.cells[name]) for name in (*columns, *SIZE))
    except ValueError:
        return None
    return [(width, x2 - x1), (height, y2 - y1)]


def _add(row: TableLine, id: str, classes: ClassNames, columns: Sequence[str], marks: Marks) -> None:
    class_ = classes.number(row.cells["class"], row.where)
    if class_ is None:
        return
    if class_ == 0 and len(columns) == 4:
        marks.images.setdefault(id)
        marks.empty.add(id)
        return
    try:
        numbers = tuple(_number(row, key) for key in columns)
    except ValueError as error:
        marks.problems.append(str(error))
        return
    marks.add(Mark(row.where, id, class_, numbers))


def _both(marks: Marks) -> Iterator[Notice]:
    """Images that a row calls empty and another has a box in."""
    both = [id for id in marks.classes if id in marks.empty]
    if both:
        text = f"{marks.source}: {len(both)} images have a row of class 'background' and boxes too: {first_of(both)}."
        yield Notice("background_and_boxes", len(both), f"{text} The boxes count.")


def _number(row: TableLine, key: str) -> float:
    text = row.cells[key]
    try:
        return float(text)
    except ValueError:
        comma = " Write a decimal point." if "," in text else ""
        raise ValueError(
            f"{row.where}: expected a number of pixels as {key}, found {clipped(text, 40)}{comma}"
        ) from None


def _size(row: TableLine) -> tuple[int, int] | None:
    """(H, W) of the image that was annotated, where the row says it."""
    try:
        width, height = (int(float(row.cells[name])) for name in SIZE)
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _refuse_strangers(marks: Marks, catalogue: Catalogue, images: ImageNames) -> None:
    for place, (name, where) in enumerate(marks.strangers.items()):
        hint = images.hint(name) if place < 5 else ""
        marks.problems.append(
            f"{where}: expected an image of catalogue '{catalogue.name}', found {clipped(name)}"
            f"{f' ({hint})' if hint else ''}"
        )
