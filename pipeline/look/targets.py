"""Which files drawn labels go to, and what a book has to say so that ``import_annotations`` reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import DataError
from models.structures import BACKGROUND, IGNORE, MAX_CLASSES, UNLABELLED, Mask
from pipeline.annotations.scribble_files import UNMARKED
from pipeline.annotations.scribbles import Scribbles
from pipeline.annotations.tool_files import is_of_a_tool
from pipeline.book.agreement import SOURCE
from pipeline.book.entries import ImportAnnotationsEntry
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.look.images import ImageSet
from pipeline.look.tables import BOXES, POINTS

KINDS = {"points": "points.csv", "boxes": "boxes.csv", "scribbles": "scribbles"}
"""Kind and its file, or folder of files: the names that ``init`` looks for."""
HEADERS = {"points": POINTS, "boxes": BOXES}


@dataclass(frozen=True)
class Target:
    """Where one kind of labels is.

    Attributes:
        kind: "points", "boxes" or "scribbles".
        path: file, or folder of scribbles.
        entry: name of the book's entry that reads it; None where there is none.
    """

    kind: str
    path: Path
    entry: str | None = None


@dataclass(frozen=True)
class ScribbleTarget(Target):
    """A folder of ``ID.png``, and what their values mean.

    Attributes:
        options: of an entry of the book that reads them, where its defaults do not do.
        seeds: value -> seed, uint8 [256]; 255 for values that mean nothing.
        values: seed -> value, uint8 [256].
    """

    options: Mapping[str, Any] | None = None
    seeds: Mask = None  # type: ignore[assignment]
    values: Mask = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Targets:
    """The files of the drawn labels of one split of a data set."""

    points: Target
    boxes: Target
    scribbles: ScribbleTarget
    folder: Path
    """Of those that no entry reads."""

    @cached_property
    def all(self) -> tuple[Target, ...]:
        return self.points, self.boxes, self.scribbles


def find_targets(book: Book | None, images: ImageSet, split: str, folder: Path) -> Targets:
    """The files of the book's entries where they are in the form that the page writes, else new ones in ``folder``.

    Args:
        book: None for a folder.
        images: of the data set.
        split: of the data set; an entry that reads it alone comes before one that reads more than it.
        folder: for the labels of kinds that no entry reads.
    """
    entries = _entries(book, images, split)
    points, boxes = (_target(entries, kind, folder) for kind in ("points", "boxes"))
    scribbles = _target(entries, "scribbles", folder)
    options = _scribble_options(book.import_annotations[scribbles.entry]) if book and scribbles.entry else None
    return Targets(points, boxes, _scribbles(scribbles, images.catalogue, options), folder)


def _entries(book: Book | None, images: ImageSet, split: str) -> list[tuple[str, ImportAnnotationsEntry]]:
    """The entries that read labels of every image of the split: those of this split, then those of larger ones.

    Labels in the file of an entry of another split would be read by nobody.
    """
    entries = [*book.import_annotations.items()] if book else []
    of_data = [(name, entry) for name, entry in entries if entry.data == images.catalogue.name]
    wanted = set(images.splits.get(split, ()))
    own = [(name, entry) for name, entry in of_data if entry.split == split]
    return own + [
        (name, entry)
        for name, entry in of_data
        if entry.split != split and wanted and wanted.issubset(images.splits.get(entry.split, ()))
    ]


def _target(entries: Sequence[tuple[str, ImportAnnotationsEntry]], kind: str, folder: Path) -> Target:
    """That of an entry of the kind, or else of one that reads a folder of them."""
    for wanted in (kind, "mixture"):
        for name, entry in entries:
            path = Path(entry.file) / (KINDS[kind] if wanted == "mixture" else "")
            if entry.kind == wanted and _writes(kind, path):
                return Target(kind, path, name)
    return Target(kind, folder / KINDS[kind])


def _scribble_options(entry: Any) -> dict[str, Any]:
    """Of the values in the files of an entry."""
    options = entry.options.get("options", {}).get("scribbles", {}) if entry.kind == "mixture" else entry.options
    return {key: value for key, value in options.items() if key != "unannotated"}


def _writes(kind: str, path: Path) -> bool:
    """Whether a file is one that the page would write: there in its form and writable, or not there."""
    if kind == "scribbles":
        there = path.is_dir() and not _is_export(path)
        return os.access(path, os.W_OK) if there else not path.exists() and not path.suffix
    if not path.exists():
        return path.suffix == ".csv"
    if not path.is_file() or not os.access(path, os.W_OK):
        return False
    with path.open("rb") as file:
        first = file.readline(200).decode("utf-8-sig", "replace").rstrip("\r\n")
    return first == ",".join(("image", "class", *HEADERS[kind]))


def _is_export(path: Path) -> bool:
    """Whether the strokes are those of a labelling tool's export, beside which PNGs would not be read."""
    try:
        return is_of_a_tool(path)
    except DataError:
        return True


def _scribbles(target: Target, catalogue: Catalogue, options: Mapping[str, Any] | None) -> ScribbleTarget:
    """With the values of the entry's options, or else values that are no class's."""
    taken = set(catalogue.mask_values)
    if options is None:
        free = [value for value in (UNMARKED, BACKGROUND, *range(UNMARKED - 1, 0, -1)) if value not in taken]
        options = {} if free[:2] == [UNMARKED, BACKGROUND] else {"unlabelled": free[0], "background_value": free[1]}
    read = Scribbles(file=str(target.path), **options).values
    seeds, values = np.full(256, IGNORE, np.uint8), np.zeros(256, np.uint8)
    if catalogue.num_classes <= MAX_CLASSES:
        seeds = read.lookup(catalogue)
        values[1 : catalogue.num_classes + 1] = catalogue.mask_values
        values[BACKGROUND], values[UNLABELLED] = read.background or BACKGROUND, read.unlabelled
    return ScribbleTarget(target.kind, target.path, target.entry, options, seeds, values)


def new_entry(images: ImageSet, targets: Targets, split: str) -> dict[str, Any]:
    """The entry of ``import_annotations`` that reads whatever lies in the folder of new labels."""
    options = {"options": {"scribbles": dict(scribbles)}} if (scribbles := targets.scribbles.options or {}) else {}
    entry = {"data": images.catalogue.name, "split": split, "kind": "mixture", "file": targets.folder.as_posix()}
    return entry | ({"options": options} if options else {})


def file_to_edit(book: Book) -> str:
    """The file of the book that a person edits."""
    source = Path(book.book.path) / SOURCE
    return source.as_posix() if source.is_file() else book.book.params
