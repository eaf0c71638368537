"""Which column of a table of tags is what: images, tags, splits, classes; also where another tool named them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import DataError, closest
from pipeline.datasets.file_names import nfc
from pipeline.datasets.image_formats import SUFFIXES
from pipeline.datasets.tables import TableLine, cut
from pipeline.datasets.tag_words import is_background, is_no_class
from pipeline.problems.notices import Notice, first_of

IMAGE = (
    ("image",),
    ("filename", "file", "filepath", "path", "images", "imagepath", "imagefile", "imagefilename", "imagename", "img"),
    ("imageid", "imgid", "imgname", "imgpath", "fname", "filenames", "imageurl"),
    ("id", "name"),
)
"""Names of the column of images, in the order in which they are looked for, small and without blanks or underscores."""
TAG = ("tag", "label", "class", "category", "classname", "labelname", "categoryname")
TAGS = ("tags", "labels", "classes", "categories", "classnames", "labelnames")
SPLIT = ("subset", "set", "partition", "phase", "usage", "datasplit", "splits")
SPLIT_NAMES = ("train", "training", "tr", "val", "valid", "validation", "dev", "test", "testing")
SPLIT_MARKS = ("isvalid", "isval", "isvalidation", "isvalidset", "istrain", "istest", "fold", "kfold", "folds")
"""Columns that say by numbers or by true and false which images are for what."""
ONES = ("1", "1.0", "true", "yes", "y", "t")
ZEROS = ("0", "0.0", "false", "no", "n", "f")
"""Small, of cells that say whether a class is there."""
MANY = 0.2
"""A column in which more than this part of the cells is no mark is no column of a class."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table of tags.

    Attributes:
        image: of the image's name.
        tags: of class names; None where each class has a column.
        one_a_row: an image has a row for each tag.
        split: of the split's name, or None.
        marks: columns of 0 and 1, one for each class.
        empty: such a column for "nothing is there", or None.
        notices: columns that are taken under another name, or not at all.
    """

    image: str
    tags: str | None = None
    one_a_row: bool = False
    split: str | None = None
    marks: tuple[str, ...] = ()
    empty: str | None = None
    notices: list[Notice] = field(default_factory=list)


def tag_columns(path: Path, header: Sequence[str], rows: Sequence[TableLine], classes: Sequence[str] | None) -> Columns:
    """Find out what the columns are.

    Args:
        path: of the table, for messages.
        header: its columns.
        rows: its rows.
        classes: names that are given; None for all that the table has.

    Raises:
        DataError: no column of images or of classes, several that may be it, or one of classes with other cells.
    """
    image = _image(path, header)
    split, split_notices = _split(header, rows)
    tags, one_a_row = _tags(path, header, rows, {image, split})
    notices = [*_renamed(path, ((image, "image"), (tags, "tag" if one_a_row else "tags"))), *split_notices]
    unread = [
        name for name in header if split is None and _key(name) in SPLIT_MARKS and nfc(name) not in (classes or ())
    ]
    if unread and split is None:
        text = (
            f"{path}: the column '{unread[0]}' is passed over. If it says which images to validate on, write a column "
            "'split' with train and val."
        )
        notices.append(Notice("column_of_splits_passed_over", len(unread), text))
    if tags is not None:
        return Columns(image, tags, one_a_row, split, notices=notices)
    if classes is not None:
        missing = [name for name in classes if name not in map(nfc, header)]
        if missing:
            raise DataError(
                f"{path} line 1: expected a column for each class, or a column 'tags', found none for "
                f"{first_of([f'{name!r}' for name in missing])}.{closest(missing[0], header)}"
            )
        marks = tuple(name for name in header if nfc(name) in classes)
    else:
        marks = tuple(name for name in header if name not in (image, split, *unread))
    nameless = [name for name in marks if _is_nameless(name)]
    others = [name for name in marks if _key(name) in (*IMAGE[1], *IMAGE[2])]
    empty = [name for name in marks if classes is None and (is_background(name) or is_no_class(name)) and name]
    marks = tuple(name for name in marks if name not in (*nameless, *others, *empty))
    for name in (*marks, *empty[:1]):
        _require_marks(path, name, rows)
    generic = [name for name in marks if classes is None and _key(name) in (*TAG, *TAGS)]
    if generic and rows:
        text = (
            f"{path}: the column '{generic[0]}' holds nothing but 0 and 1 and is taken for one class of that name. If "
            "these are numbers of classes, write the names of the classes instead."
        )
        notices.append(Notice("column_of_numbers", len(generic), text))
    if nameless or others or empty:
        passed = first_of([f"'{name}'" if name else "one without a name" for name in (*nameless, *others, *empty)])
        text = f"{path}: columns that are no classes are passed over: {passed}."
        notices.append(Notice("columns_of_no_class", len(nameless) + len(others) + len(empty), text))
    return Columns(image, None, False, split, marks, empty[0] if empty else None, notices)


def mark(cell: str) -> bool | None:
    """What a cell of 0 or 1 says, None for another one."""
    text = cell.lower()
    return True if text in ONES else False if text in ZEROS else None


def _key(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", nfc(name)).casefold()


def _is_nameless(name: str) -> bool:
    return not name or re.fullmatch(r"unnamed:? ?\d+(_level_\d+)?", name.lower()) is not None


def _image(path: Path, header: Sequence[str]) -> str:
    if "image" in header:
        return "image"
    for names in IMAGE:
        columns = [name for name in header if _key(name) in names]
        if len(columns) == 1:
            return columns[0]
        if columns:
            raise DataError(
                f"{path} line 1: expected one column of images, found {', '.join(columns)}. Call the right one 'image'."
            )
    if not any(header):
        raise DataError(
            f"{path} line 1: expected a header 'image,tags', and a row for each image, found an empty file."
        )
    if any(cell.lower().endswith(SUFFIXES) for cell in header):
        raise DataError(
            f"{path} line 1: expected a header, found the first image: '{cut(','.join(header))}'. Write a first "
            "line that names the columns, such as 'image,tags'."
        )
    raise DataError(
        f"{path} line 1: expected a header with each column once, image among them; found "
        f"'{cut(','.join(header))}' without image. Call the column of file names 'image'."
    )


def _tags(
    path: Path, header: Sequence[str], rows: Sequence[TableLine], taken: set[str | None]
) -> tuple[str | None, bool]:
    """The column of class names, and whether an image has a row for each."""
    for name, one_a_row in (("tags", False), ("tag", True)):
        if name in header:
            return name, one_a_row
    named = [name for name in header if name not in taken and _key(name) in (*TAG, *TAGS)]
    words = [name for name in named if not _all_marks(name, rows)]
    if len(words) > 1:
        raise DataError(
            f"{path} line 1: expected one column of class names, found {', '.join(words)}. Call the right one 'tags' "
            "('cat;dog'), or 'tag' for a row for each class."
        )
    return (words[0], _key(words[0]) in TAG) if words else (None, False)


def _all_marks(name: str, rows: Sequence[TableLine]) -> bool:
    return all(mark(row.cells[name]) is not None for row in rows)


def _split(header: Sequence[str], rows: Sequence[TableLine]) -> tuple[str | None, list[Notice]]:
    if "split" in header:
        return "split", []
    candidates = [name for name in header if _key(name) in ("split", *SPLIT)]
    candidates = [
        name for name in candidates if rows and all(row.cells[name].casefold() in SPLIT_NAMES for row in rows)
    ]
    if len(candidates) != 1:
        return None, []
    return candidates[0], [
        Notice("column_renamed", 1, f"The column '{candidates[0]}' is taken for 'split': it names splits.")
    ]


def _renamed(path: Path, pairs: Sequence[tuple[str | None, str]]) -> Iterator[Notice]:
    others = [(column, name) for column, name in pairs if column not in (None, name)]
    if others:
        pairs_text = ", ".join(f"'{column}' for '{name}'" for column, name in others)
        yield Notice("column_renamed", len(others), f"{path} line 1: columns of other names are taken: {pairs_text}.")


def _require_marks(path: Path, name: str, rows: Sequence[TableLine]) -> None:
    """Raises DataError where a column is none of a class; single bad cells are left to the rows."""
    bad = [row for row in rows if mark(row.cells[name]) is None]
    kinds = Counter(row.cells[name] for row in bad)
    stray = len(bad) <= MANY * len(rows) and not kinds.keys() <= {"-1", "-1.0"}
    if not bad or stray:
        return
    found = first_of([f"'{cut(cell)}'" if cell else "an empty cell" for cell in kinds])
    raise DataError(
        f"{bad[0].where}: expected 0 or 1 for each class, found {name}='{cut(bad[0].cells[name])}'; {len(bad)} of "
        f"{len(rows)} cells of the column are of that kind ({found}). {_column_remedy(name, kinds)}"
    )


def _column_remedy(name: str, kinds: Counter[str]) -> str:
    """What a column is likely to be, by its cells that are no marks."""
    cells = set(kinds)
    if all(cell.casefold() in SPLIT_NAMES for cell in cells):
        return "Remedy: if these are splits, call the column 'split'."
    if cells == {"-1"} or cells == {"-1.0"}:
        return "Remedy: write 0 for -1."
    if all((len(cell) <= 1 and not cell.isalnum()) or cell in ("x", "X", "") for cell in cells):
        return "Remedy: write 1 where the class is there, and 0 where it is not."
    if all(re.fullmatch(r"-?\d*\.?\d+([eE]-?\d+)?|", cell) for cell in cells):
        return (
            f"Remedy: if '{name}' is no class, remove the column; of counts or scores write 1 where the class is there."
        )
    return (
        f"Remedy: if '{name}' is no class, remove the column; if its cells are class names, call it 'tags' "
        "('cat;dog'), or 'tag' for a row for each class."
    )
