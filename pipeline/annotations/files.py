"""Annotation files of people, whatever their format: boxes and points by the id of their image, checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

from models.errors import DataError
from pipeline.annotations.csv_files import marks_of_csv
from pipeline.annotations.geometry import Checked, as_box, as_point, checked_boxes, checked_points
from pipeline.annotations.items import Box, FileItems, Item, Known, Marks, Point, raise_together
from pipeline.annotations.json_files import marks_of_coco, marks_of_points
from pipeline.annotations.tool_files import boxes_of_tool, is_of_a_tool, points_of_tool
from pipeline.annotations.unannotated import remedy, strange_names
from pipeline.annotations.xml_files import holds_voc_xml, marks_of_xml
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.exports import foreign_folder, foreign_text, with_remedy
from pipeline.datasets.regular import open_regular
from pipeline.problems.notices import first_of

BOX_FILES = (
    "a CSV of boxes (columns image, class, x1, y1, x2, y2), COCO's JSON, a folder of VOC XML files, or another export "
    "of a labelling tool"
)
POINT_FILES = (
    "a CSV of points (columns image, class, x, y), the JSON of What's the Point or DensePose-COCO, or an export of a "
    "labelling tool"
)

BOXES_READ_HERE = ("coco",)
POINT_REMEDY = "write a CSV with columns image, class, x, y in pixels"


def read_boxes(path: Path, catalogue: Catalogue, ids: Sequence[str], whole: bool = True) -> FileItems[Box]:
    """Boxes as :func:`boxes_there` reads them; each of these images must be there. Raises DataError as it does."""
    boxes = boxes_there(path, catalogue, ids, whole)
    require_items(ids, boxes.items, path, "boxes", catalogue, boxes.strangers)
    return boxes


def boxes_there(path: Path, catalogue: Catalogue, ids: Sequence[str], whole: bool = True) -> FileItems[Box]:
    """Boxes of a CSV, of COCO's JSON, or of a folder of VOC XML files.

    Args:
        path: file or folder.
        catalogue: of the images.
        ids: images to annotate. A CSV or JSON is checked as a whole, of XML only the files of these.
        whole: these are all images to annotate, and not a part.

    Raises:
        DataError: everything that is wrong, with its place; another format, by its name.
    """
    if path.is_dir() and holds_voc_xml(path):
        marks = marks_of_xml(path, catalogue, ids, whole)
        checked = checked_boxes(marks, catalogue, whole)
        return _kept_items(marks, checked, [as_box(*kept) for kept in checked.kept])
    if is_of_a_tool(path, () if path.is_dir() else BOXES_READ_HERE):
        return boxes_of_tool(path, catalogue)
    if path.is_dir():
        other = foreign_folder(path) or "a folder of something else."
        raise DataError(f"{path}: expected {BOX_FILES}, found {other}")
    return _boxes_of_file(path, Path.cwd(), _written(path, BOX_FILES), Known.of(catalogue))


def read_points(path: Path, catalogue: Catalogue, ids: Sequence[str], supplementary: bool = False) -> FileItems[Point]:
    """Points of a CSV or JSON; each of these images must be there. As :func:`read_boxes`."""
    if is_of_a_tool(path):
        points = points_of_tool(path, catalogue)
        require_items(ids, points.items, path, "points", catalogue, points.strangers)
        return points
    if path.is_dir():
        other = foreign_folder(path) or "a folder. Remedy: name the file itself."
        raise DataError(f"{path}: expected {POINT_FILES}, found {with_remedy(other, POINT_REMEDY)}")
    try:
        points = _points_of_file(path, Path.cwd(), _written(path, POINT_FILES), Known.of(catalogue), supplementary)
    except DataError as error:
        raise DataError(with_remedy(str(error), POINT_REMEDY)) from None
    require_items(ids, points.items, path, "points", catalogue, points.strangers)
    return points


def require_items(
    ids: Sequence[str],
    there: Collection[str],
    where: Path,
    what: str,
    catalogue: Catalogue,
    strangers: Sequence[str] = (),
) -> None:
    """Every image to annotate must be in the annotation file.

    Raises:
        DataError: names the first that are not, and names in the file that may mean them.
    """
    missing = [id for id in ids if id not in there]
    if not missing:
        return
    empty = " In a CSV, class 'background' says that an image has no object." if what == "boxes" else ""
    strange = strange_names(strangers, catalogue)
    raise DataError(
        f"{where}: expected {what} for {len(ids)} images, found none for {len(missing)} of them: "
        f"{first_of(missing, 5)}.{strange}\nAnnotate them, or say what they are: {remedy(catalogue)}.{empty}"
    )


@lru_cache(maxsize=2)
def _boxes_of_file(path: Path, cwd: Path, written: tuple[int, int], known: Known) -> FileItems[Box]:
    """Read and checked once a process, and not once a part."""
    kind = _kind(path)
    if kind == "other":
        raise DataError(f"{path}: expected {BOX_FILES}, found {foreign_text(path)}")
    columns = ("x1", "y1", "x2", "y2")
    marks = marks_of_coco(path, known.catalogue) if kind == "json" else marks_of_csv(path, known.catalogue, columns)
    checked = checked_boxes(marks, known.catalogue)
    return _kept_items(marks, checked, [as_box(*kept) for kept in checked.kept])


@lru_cache(maxsize=2)
def _points_of_file(
    path: Path, cwd: Path, written: tuple[int, int], known: Known, supplementary: bool
) -> FileItems[Point]:
    kind = _kind(path)
    if kind == "other":
        raise DataError(f"{path}: expected {POINT_FILES}, found {foreign_text(path)}")
    published = kind == "json"
    marks = (
        marks_of_points(path, known.catalogue, supplementary)
        if published
        else marks_of_csv(path, known.catalogue, ("x", "y"))
    )
    checked = checked_points(marks, known.catalogue, published)
    return _kept_items(marks, checked, [as_point(*kept) for kept in checked.kept])


def _kept_items(marks: Marks, checked: Checked, items: Sequence[Item]) -> FileItems[Item]:
    """By image, in the file's order; everything that is wrong is raised together."""
    raise_together([*marks.problems, *checked.problems])
    by_id: dict[str, list[Item]] = {id: [] for id in marks.images}
    for (mark, _), item in zip(checked.kept, items, strict=True):
        by_id[mark.id].append(item)
    return FileItems(by_id, marks.classes, (*marks.notices, *checked.notices), tuple(marks.strangers))


def _kind(path: Path) -> str:
    """By the first character and not by the suffix: "json", "csv", or "other" (XML)."""
    try:
        with open_regular(path) as file:
            start = file.read(4096).decode("utf-8-sig", "replace").lstrip()[:1]
    except OSError:
        return "csv"  # whose reader says what is wrong with it
    return "json" if start in ("{", "[") else "other" if start == "<" else "csv"


def _written(path: Path, expected: str) -> tuple[int, int]:
    """When a file was written, and its size.

    Raises:
        DataError: there is none.
    """
    try:
        status = path.stat()
    except OSError:
        raise DataError(f"{path}: expected {expected}, found no such file.") from None
    return status.st_mtime_ns, status.st_size
