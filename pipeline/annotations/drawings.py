"""Shapes of a labelling tool's export by the image of a catalogue, checked as boxes and points of tables are."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from models.errors import DataError
from pipeline.annotations.class_names import ClassNames
from pipeline.annotations.geometry import SLACK, check_sizes, checked_boxes, checked_points
from pipeline.annotations.items import Known, Mark, Marks, Numbers, raise_together
from pipeline.annotations.tools.drawn import PLURAL, DrawnImage, Export, Kind, Shape
from pipeline.annotations.tools.rasters import bounds, in_pixels
from pipeline.annotations.tools.reading import read_exports
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.exports import foreign_folder, foreign_text
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.labelmap import BACKGROUNDS, VOIDS
from pipeline.datasets.tables import clipped
from pipeline.datasets.tag_words import BACKGROUND_ONLY
from pipeline.problems.notices import Notice, first_of

OTHER = "other_entries"
"""Topic of the notice about what is left out."""
MARGIN = 0.5
"""Pixels around the middle of a line, which has no width of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A shape of an image of the catalogue.

    Attributes:
        shape: as the tool has it.
        class_: 0 background, 1..C, or None for an object that is there but not asked for (its pixels are void).
        numbers: x1, y1, x2, y2 around it, or x, y of a point, in pixels within the image; none for a tag.
    """

    shape: Shape
    class_: int | None
    numbers: Numbers = ()


@dataclass(frozen=True, slots=True)
class _ShapeMark(Mark):
    shape: Shape


@dataclass(frozen=True, eq=False)
class Drawings:
    """What an export says about images of a catalogue.

    Attributes:
        source: file or folder, for messages.
        what: the tool, and how many shapes of each kind there are.
        items: id -> shapes, in the order of the file; also images without any.
        empty: ids of which the export says that they have no object.
        annotators: id -> who looked at it.
        notices: what may be wrong.
        strangers: names of images that the catalogue does not have.
    """

    source: str
    what: str
    items: Mapping[str, list[Item]]
    empty: Collection[str]
    annotators: Mapping[str, Collection[str]]
    notices: tuple[Notice, ...] = ()
    strangers: tuple[str, ...] = ()

    def classes(self, kinds: Collection[Kind] = tuple(PLURAL)) -> dict[str, set[int]]:
        """Id -> classes 1..C that a shape of one of these kinds has."""
        return {id: {i.class_ for i in items if i.class_ and i.shape.kind in kinds} for id, items in self.items.items()}

    def crowds(self) -> tuple[int, int]:
        """How many areas are crowds, and how many areas there are."""
        areas = [item.shape.crowd for items in self.items.values() for item in items if item.shape.kind == "area"]
        return sum(areas), len(areas)


def find_export(path: Path) -> Export | None:
    """The export in a file or folder; None where no labelling tool is known to have written it.

    Raises:
        DataError: a damaged file, or the exports of several tools.
    """
    return _export(path, Path.cwd(), _written(path))


def read_drawings(path: Path, catalogue: Catalogue, crowds: bool = False) -> Drawings:
    """Shapes of an export, for the images of a catalogue: read once a process. With ``crowds`` these are objects.

    Raises:
        DataError: no export of a tool, or everything that surely is wrong with it.
    """
    return _drawings(path, Path.cwd(), _written(path), Known.of(catalogue), crowds)


def _written(path: Path) -> tuple[int, int]:
    """When it was written, and its size: of a folder the last time of all its folders, and how many files they have."""
    try:
        status = path.stat()
    except OSError:
        raise DataError(f"{path}: expected an export of a labelling tool, found no such file.") from None
    if not path.is_dir():
        return status.st_mtime_ns, status.st_size
    places = [(os.stat(place).st_mtime_ns, len(files)) for place, _, files in os.walk(path)]
    return max(time for time, _ in places), sum(count for _, count in places)


@lru_cache(maxsize=4)
def _export(path: Path, cwd: Path, written: tuple[int, int]) -> Export | None:
    exports = read_exports(path)
    if len(exports) > 1:
        found = "; ".join(
            f"{export} (such as {export.images[0].where})" for export in exports.values() if export.images
        )
        raise DataError(f"{path}: expected the export of one labelling tool, found {found}. Remedy: name one of them.")
    return next(iter(exports.values()), None)


@lru_cache(maxsize=2)
def _drawings(path: Path, cwd: Path, written: tuple[int, int], known: Known, crowds: bool) -> Drawings:
    export = find_export(path)
    if export is None:
        other = foreign_folder(path) if path.is_dir() else foreign_text(path)
        raise DataError(f"{path}: expected an export of a labelling tool, found {other or 'none that is known.'}")
    return _Join(export, known.catalogue, crowds).drawings()


@dataclass
class _Join:
    """An export, as far as it is about images of a catalogue."""

    export: Export
    catalogue: Catalogue
    crowds: bool
    boxes: Marks = field(init=False)
    points: Marks = field(init=False)
    tags: list[tuple[str, Item]] = field(default_factory=list)
    order: dict[int, int] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.boxes, self.points = Marks(self.export.source), Marks(self.export.source)
        self.names, self.classes = ImageNames(self.catalogue), ClassNames(self.catalogue, background=True)
        self.hidden: list[str] = []
        self.called: dict[str, str] = {}
        self.drawn: set[tuple[object, ...]] = set()
        self.again: list[str] = []

    def drawings(self) -> Drawings:
        """Everything, checked; raises DataError with all that surely is wrong."""
        found = [(id, image) for image in self.export.images if (id := self._id(image)) is not None]
        self._number_classes()
        check_sizes(self.boxes, self.catalogue, [(id, i.where, i.size) for id, i in found if i.size is not None])
        self.points.other_size = self.boxes.other_size
        for id, image in found:
            for shape in image.shapes:
                if not self._is_again(id, shape):
                    self._add(id, shape)
        items = self._checked(dict.fromkeys(id for id, _ in found))
        annotators: dict[str, set[str]] = {}
        for id, image in found:
            annotators.setdefault(id, set()).update(image.annotators, (shape.annotator for shape in image.shapes))
        empty = {id for id, image in found if image.empty and not items[id]}
        notices = (*self._all_notices(), *self.classes.notices())
        strangers = tuple(self.boxes.strangers)
        return Drawings(self.export.source, str(self.export), items, empty, annotators, notices, strangers)

    def _id(self, image: DrawnImage) -> str | None:
        id = self.names.find(image.name) or (self.names.find(image.also) if image.also else None)
        if id is None and self.catalogue.limit is None:
            self.boxes.strangers.setdefault(image.name, image.where)
        return id if id in self.catalogue.entries else None

    def _number_classes(self) -> None:
        """Classes without names are the catalogue's, in its order."""
        if not self.export.numbered:
            return
        names = self.catalogue.class_names
        beyond = sorted({int(name) for name in self.export.used() if int(name) >= len(names)})
        if beyond:
            self.boxes.problems.append(
                f"{self.export.source}: no file says the names of the classes, and number {beyond[0]} is none of the "
                f"{len(names)} classes of the catalogue. Remedy: put data.yaml (`names`) or classes.txt beside it."
            )
            return
        listed = first_of([f"{number} is '{name}'" for number, name in enumerate(names)], 8)
        text = (
            f"{self.export.source}: no file says the names of the classes, so that they are the catalogue's, in its "
            f"order: {listed}. Remedy: put data.yaml (`names`) or classes.txt beside the labels."
        )
        self.notices.append(Notice("classes_without_names", len(names), text))
        self.called = {str(number): name for number, name in enumerate(names)}

    def _is_again(self, id: str, shape: Shape) -> bool:
        """Whether the same person drew just this already: several files of one data set repeat their boxes."""
        if shape.kind == "tag" or shape.bitmap is not None:
            return False
        outlines = tuple(outline.tobytes() for outline in (shape.outline, *shape.parts, *shape.holes))
        key = (id, shape.kind, shape.name, shape.annotator, shape.unsure, outlines)
        if key in self.drawn:
            self.again.append(id)
            return True
        self.drawn.add(key)
        return False

    def _add(self, id: str, shape: Shape) -> None:
        name = self.called.get(shape.name, shape.name)
        void, ground = name.lower() in VOIDS, name.lower() in BACKGROUNDS
        number = None if void else self.classes.number(BACKGROUND_ONLY if ground else name, shape.where)
        class_ = None if shape.unsure or (shape.crowd and not self.crowds) else number
        if shape.kind == "tag":
            self.tags.append((id, Item(shape, class_)))
            self.order[id_of(shape)] = len(self.order)
            return
        if shape.hidden:
            self.hidden.append(id)
            return
        marks = self.points if shape.kind == "point" else self.boxes
        numbers = self._numbers(id, shape)
        self.order[id_of(shape)] = len(self.order)
        marks.add(_ShapeMark(shape.where, id, class_, numbers, shape), number)

    def _numbers(self, id: str, shape: Shape) -> Numbers:
        size = self.catalogue.size(id)
        if shape.kind == "point":
            x, y = in_pixels(shape.outline, shape.shares, size)[0].tolist()
            return _moved_in(x, size[1]), _moved_in(y, size[0])
        x1, y1, x2, y2 = bounds(shape, size)
        if shape.kind == "stroke":
            return x1 - MARGIN, y1 - MARGIN, x2 + MARGIN, y2 + MARGIN
        return x1, y1, x2, y2

    def _checked(self, ids: Mapping[str, None]) -> dict[str, list[Item]]:
        whole = not any(shape.shares for image in self.export.images for shape in image.shapes[:1])
        boxes = checked_boxes(self.boxes, self.catalogue, whole)
        points = checked_points(self.points, self.catalogue, whole=whole)
        problems = [*self.export.problems, *self.boxes.problems, *boxes.problems, *points.problems]
        raise_together([*problems, *self.classes.misspelt()])
        self.notices += [*boxes.notices, *points.notices]
        kept = [(mark.id, Item(mark.shape, mark.class_, n)) for mark, n in _shaped([*boxes.kept, *points.kept])]
        items: dict[str, list[Item]] = {id: [] for id in ids}
        for id, item in sorted([*self.tags, *kept], key=lambda pair: self.order[id_of(pair[1].shape)]):
            items[id].append(item)
        return items

    def _all_notices(self) -> Iterator[Notice]:
        yield from self.notices
        source = self.export.source
        if self.boxes.strangers:
            names = [clipped(name)[1:-1] for name in self.boxes.strangers]
            hints = [f"'{n[:80]}' ({hint})" for n in names[:3] if (hint := self.names.hint(n))]
            near = f" {first_of(hints)}." if hints else ""
            text = (
                f"{source}: {len(names)} images are not in catalogue '{self.catalogue.name}': {first_of(names)}.{near}"
            )
            yield Notice("annotations_without_image", len(names), text)
        if self.hidden:
            text = f"{source}: {len(self.hidden)} points are marked as hidden by something and are left out"
            yield Notice("hidden_points", len(self.hidden), f"{text}: {first_of(sorted(set(self.hidden)))}.")
        if self.again:
            text = f"{source}: {len(self.again)} shapes stand there twice and are taken once"
            yield Notice("shapes_twice", len(self.again), f"{text}: {first_of(sorted(set(self.again)))}.")
        for assumed in self.export.assumed:
            yield Notice("assumed", len(self.export.images), f"{source}: {assumed}")
        if self.export.left_out:
            listed = first_of([f"{what} ({count})" for what, count in self.export.left_out.items()], 8)
            count = sum(self.export.left_out.values())
            text = (
                f"{source}: {count} entries are no labels of an image's pixels or classes and are left out: {listed}."
            )
            yield Notice(OTHER, count, text)


def id_of(shape: Shape) -> int:
    """A shape's own number within the process: shapes are compared by identity."""
    return id(shape)


def _shaped(kept: Sequence[tuple[Mark, Numbers]]) -> Iterator[tuple[_ShapeMark, Numbers]]:
    yield from ((mark, numbers) for mark, numbers in kept if isinstance(mark, _ShapeMark))


def _moved_in(value: float, length: int) -> float:
    """A coordinate of a point that lies on the border, or by less than a pixel beyond it, in the last pixel."""
    if -SLACK <= value < 0:
        return 0.0
    return length - 0.5 if length <= value <= length + SLACK else value
