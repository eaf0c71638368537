"""What is drawn on the images of a data set: read from and written to the files that ``import_annotations`` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.errors import DataError
from models.structures import BACKGROUND, IGNORE, MAX_CLASSES, UNLABELLED, Mask
from pipeline.annotations.label_folder import LabelFolder
from pipeline.annotations.scribble_files import SUFFIXES, read_scribble
from pipeline.compute.alone import one_by_one
from pipeline.datasets.images import MAX_PIXELS
from pipeline.look.images import ImageSet
from pipeline.look.tables import BOXES, POINTS, MarkTable, Row
from pipeline.look.targets import Targets
from pipeline.pictures.palette import write_png
from pipeline.storage.whole import whole_file

MOST_MARKS = 20_000
MOST_RUNS = 4_000_000
Run = tuple[Annotated[int, Field(ge=0, le=IGNORE)], Annotated[int, Field(ge=0, le=MAX_PIXELS)]]
"""A label, and how many pixels have it."""
Pixels = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class ConflictError(DataError):
    """The labels of an image changed since the page read them."""


class Point(BaseModel):
    """A click: the pixel in column ``x`` and row ``y``, of background (0) or a class (1..C)."""

    model_config = ConfigDict(extra="forbid")
    label: Annotated[int, Field(ge=0)]
    x: Pixels
    y: Pixels


class Box(BaseModel):
    """A box around an object of a class, in pixels, right and bottom exclusive."""

    model_config = ConfigDict(extra="forbid")
    label: Annotated[int, Field(ge=1)]
    x1: Pixels
    y1: Pixels
    x2: Pixels
    y2: Pixels


class Drawing(BaseModel):
    """All that is drawn on one image.

    Attributes:
        points: clicks.
        boxes: of its objects.
        no_object: somebody looked, and there is nothing to draw a box around.
        runs: strokes as (label, count) of pixels row by row: 0 background, 1..C, 254 none; empty for no stroke at all.
        version: of what this was made from, as the page read it.
    """

    model_config = ConfigDict(extra="forbid")
    points: Annotated[list[Point], Field(max_length=MOST_MARKS)] = []
    boxes: Annotated[list[Box], Field(max_length=MOST_MARKS)] = []
    no_object: bool = False
    runs: Annotated[list[Run], Field(max_length=MOST_RUNS)] = []
    version: str = ""


class Drawings:
    """The drawn labels of one split of a data set.

    Args:
        images: of the data set.
        targets: the files; they need not be there.
    """

    def __init__(self, images: ImageSet, targets: Targets) -> None:
        self.images, self.targets = images, targets
        self._points = MarkTable(targets.points.path, POINTS, images.catalogue)
        self._boxes = MarkTable(targets.boxes.path, BOXES, images.catalogue)
        self._scribbles = LabelFolder(targets.scribbles.path, images.catalogue, SUFFIXES)
        self._lock = Lock()

    def ids(self) -> dict[str, set[str]]:
        """Images that have labels, for each kind. Raises DataError where a file cannot be read."""
        with self._lock:
            return {
                "points": self._points.ids(),
                "boxes": self._boxes.ids(),
                "scribbles": self._scribbles.ids(fresh=True),
            }

    def of(self, id: str) -> Drawing:
        """What is drawn on an image. Raises DataError where a file cannot be read."""
        with self._lock:
            return self._of(id)

    def save(self, id: str, drawing: Drawing) -> str:
        """Replace what is drawn on an image; each file is written whole.

        Returns:
            The version of what is there now.

        Raises:
            ConflictError: the files say something else of the image than when the page read them.
            DataError: marks outside of the image, unknown classes, or a file that cannot be written to.
        """
        seeds = self._checked(id, drawing)
        with self._lock, one_by_one(one.path.parent for one in self.targets.all):  # other servers write these files too
            now = self._of(id).version
            if now == _version(drawing):  # sent again, by a page that did not hear the answer
                return now
            if now != drawing.version:
                raise ConflictError(
                    f"The labels of '{id}' changed since this page read them, in another window or program. Nothing "
                    "was saved. Remedy: load the image again, and say which labels are to stay."
                )
            file = self._file_to_write(id) if self._redrawn(id, seeds) else None  # refused before anything is written
            boxes = [Row(box.label, (box.x1, box.y1, box.x2, box.y2)) for box in drawing.boxes]
            self._points.replace(id, [Row(point.label, (point.x, point.y)) for point in drawing.points])
            self._boxes.replace(id, boxes or ([Row(BACKGROUND, ())] if drawing.no_object else []))
            if file is not None:
                self._save_strokes(file, seeds)
            return self._of(id).version

    def _of(self, id: str) -> Drawing:
        boxes = self._boxes.rows(id)
        drawing = Drawing(
            points=[Point(label=row.label, x=row.numbers[0], y=row.numbers[1]) for row in self._points.rows(id)],
            boxes=[Box(label=row.label, **dict(zip(BOXES, row.numbers, strict=True))) for row in boxes if row.numbers],
            no_object=any(not row.numbers for row in boxes),
            runs=runs_of(self._strokes(id)),
        )
        drawing.version = _version(drawing)
        return drawing

    def _checked(self, id: str, drawing: Drawing) -> Mask | None:
        """The strokes as seeds uint8 [H,W], None without any; DataError for marks that cannot be."""
        (height, width), classes = self.images.size(id), self.images.catalogue.num_classes
        for point in drawing.points:
            if point.x >= width or point.y >= height or point.label > classes:
                raise DataError(f"'{id}': expected points within {width} x {height} of 0..{classes}, found {point}.")
        for box in drawing.boxes:
            if not (box.x1 < box.x2 <= width and box.y1 < box.y2 <= height) or box.label > classes:
                raise DataError(f"'{id}': expected boxes within {width} x {height} of 1..{classes}, found {box}.")
        if not drawing.runs:
            return None
        if classes > MAX_CLASSES:
            raise DataError(f"Scribbles are of at most {MAX_CLASSES} classes, this data set has {classes}.")
        seeds = seeds_of(drawing.runs, (height, width))
        strange = [int(label) for label in np.unique(seeds) if classes < label != UNLABELLED]
        if strange:
            raise DataError(f"'{id}': expected strokes of 0..{classes}, found labels {strange[:5]}.")
        target = self.targets.scribbles
        if (target.seeds[target.values[seeds]] != seeds).any():
            raise DataError(
                f"'{id}': import_annotations.{target.entry} has no value for strokes on the background. "
                "Remedy: add background_value to its options."
            )
        return seeds if (seeds != UNLABELLED).any() else None

    def _file(self, id: str) -> Path | None:
        """The file that ``import_annotations`` takes for an image, whatever its name; None without one.

        Raises:
            DataError: there are several, which it refuses.
        """
        files = self._scribbles.find([id], all_files=True)
        if files.problems:
            raise DataError(f"{files.problems[0]} None of them is written to.")
        return files.paths.get(id)

    def _file_to_write(self, id: str) -> Path:
        """That file, or a new one under the image's id. Raises DataError for one of another format than PNG."""
        path = self._file(id) or self.targets.scribbles.path / f"{id}.png"
        if path.suffix.lower() != ".png":
            raise DataError(
                f"{path}: expected a PNG to draw strokes into, found another format. It is not written to. Remedy: "
                f"save it as {id}.png in its place, or draw into another folder with --out."
            )
        return path

    def _strokes(self, id: str) -> Mask | None:
        """Seeds uint8 [H,W], or None for an image without a file."""
        path = self._file(id)
        if path is None:
            return None
        values = read_scribble(path, self.images.size(id))
        seeds = self.targets.scribbles.seeds[values]
        if (seeds == IGNORE).any():
            raise DataError(
                f"{path}: it has values of no class ({values[seeds == IGNORE].min()}). It is not written to."
            )
        return seeds

    def _redrawn(self, id: str, seeds: Mask | None) -> bool:
        """Whether the strokes are others than those in the file: what nobody changed stays as it is."""
        there = self._strokes(id)
        return runs_of(seeds) != runs_of(None if there is None or (there == UNLABELLED).all() else there)

    def _save_strokes(self, path: Path, seeds: Mask | None) -> None:
        if seeds is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            write_png(scratch, self.targets.scribbles.values[seeds])


def _version(drawing: Drawing) -> str:
    """Of the labels alone."""
    text = json.dumps(drawing.model_dump(exclude={"version"}))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def runs_of(seeds: Mask | None) -> list[tuple[int, int]]:
    """Seeds uint8 [H,W] as (label, count), row by row; none of None."""
    if seeds is None:
        return []
    flat = seeds.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] ^ 1))
    counts = np.diff(starts, append=flat.size)
    return list(zip(flat[starts].tolist(), counts.tolist(), strict=True))


def seeds_of(runs: Sequence[tuple[int, int]], size: tuple[int, int]) -> Mask:
    """The seeds uint8 [H,W] of runs. Raises DataError where they are not of an image of that size."""
    labels, counts = np.array(runs, np.int64).T
    if counts.sum() != size[0] * size[1]:
        raise DataError(f"Expected strokes of {size[0] * size[1]} pixels, found {counts.sum()}.")
    seeds: Mask = np.repeat(labels.astype(np.uint8), counts).reshape(size)
    return seeds
