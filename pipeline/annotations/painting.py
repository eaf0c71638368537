"""Seeds of an image out of the shapes that people drew in it: of one person, or of several who drew the same image."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.draw import disk

from models.errors import DataError
from models.structures import BACKGROUND, IGNORE, UNLABELLED, Mask
from pipeline.annotations.drawings import Item
from pipeline.annotations.items import Box
from pipeline.annotations.tools.rasters import area_pixels, stroke_pixels

SAME = 0.5
"""Intersection over union from which on two people mean one object."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Brushes:
    """How wide marks are.

    Attributes:
        width: of a stroke, in pixels.
        radius: of a point, in pixels; 0 is the one pixel.
        as_strokes: areas of a brush are strokes.
    """

    width: float = 3.0
    radius: float = 0.0
    as_strokes: bool = False


@dataclass(frozen=True, eq=False)
class Layers:
    """What was drawn in an image of (H, W), by the kind of mark.

    Attributes:
        areas: uint8 [H,W]: 0 background, 1..C, 255 an object that is not asked for, 254 no area.
        marks: of strokes and points, the same; 254 no mark.
        boxes: of objects.
        classes: 1..C that were chosen for the image or drawn.
        kinds: "tag", "box", "area" and "mark", of those that there are.
    """

    areas: Mask
    marks: Mask
    boxes: tuple[Box, ...]
    classes: frozenset[int]
    kinds: frozenset[str]

    @property
    def outlined(self) -> bool:
        """Whether what no shape holds is background: areas and boxes alone, of each class that the image has."""
        held = {int(value) for value in np.unique(self.areas)} | {box.class_ for box in self.boxes}
        return bool(self.kinds & {"box", "area"}) and "mark" not in self.kinds and self.classes <= held


def layers(items: Sequence[Item], size: Size, brushes: Brushes) -> Layers:
    """The shapes of one person, in the order of the file; of areas the higher one, or the later, covers the other.

    Raises:
        DataError: a bitmap that is damaged.
    """
    areas, marks = np.full(size, UNLABELLED, np.uint8), np.full(size, UNLABELLED, np.uint8)
    kinds = {_kind(item, brushes) for item in items}
    for item in sorted((i for i in items if _kind(i, brushes) == "area"), key=lambda item: item.shape.order):
        areas[_pixels(item, size, brushes)] = IGNORE if item.class_ is None else item.class_
    for item in items:
        if _kind(item, brushes) == "mark" and item.class_ is not None:
            here = _pixels(item, size, brushes)
            if item.shape.kind == "point":
                here &= marks == UNLABELLED  # as of tables, the first of two points on a pixel counts
            marks[here] = item.class_
    boxes = tuple(Box(_four(item), item.class_) for item in items if item.shape.kind == "box")
    return Layers(areas, marks, boxes, frozenset(item.class_ for item in items if item.class_), frozenset(kinds))


def agreed(people: Sequence[Layers]) -> Layers:
    """What most people say.

    An area's pixel has the label that more than half of them give it (also that there is none), and is void where
    there is none such. A box is there if more than half drew one that overlaps it by half; its sides are in the middle
    of theirs. A class is there by more than half. Of strokes and points those count that marked the pixel.
    """
    areas = _most(np.stack([one.areas for one in people]), len(people), IGNORE)
    marks = np.stack([one.marks for one in people])
    marked = _most(np.where(marks == UNLABELLED, IGNORE, marks), (marks != UNLABELLED).sum(axis=0), UNLABELLED)
    marked[marked == IGNORE] = UNLABELLED
    boxes = tuple(_agreed_boxes([one.boxes for one in people]))
    chosen = Counter(class_ for one in people for class_ in one.classes)
    classes = {class_ for class_, count in chosen.items() if 2 * count > len(people)}
    classes |= {int(value) for value in np.unique(np.stack([areas, marked])) if 0 < value < UNLABELLED}
    kinds = frozenset(kind for one in people for kind in one.kinds)
    return Layers(areas, marked, boxes, frozenset(classes), kinds)


def seeds_of(drawn: Layers, background: bool) -> Mask:
    """uint8 [H,W]: areas over boxes, whose inside is unlabelled, and marks over both.

    Args:
        drawn: in the image.
        background: what no shape holds is background, where objects are :attr:`Layers.outlined`.
    """
    seeds = np.full(drawn.areas.shape, BACKGROUND if background and drawn.outlined else UNLABELLED, np.uint8)
    for box in drawn.boxes:
        x1, y1, x2, y2 = box.corners
        seeds[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)] = UNLABELLED
    for layer in (drawn.areas, drawn.marks):
        np.copyto(seeds, layer, where=layer != UNLABELLED)
    return seeds


def by_annotator(items: Sequence[Item], annotators: Sequence[str]) -> Mapping[str, list[Item]]:
    """Items of each person who looked at the image, also of those who drew nothing."""
    people: dict[str, list[Item]] = {name: [] for name in annotators}
    for item in items:
        people.setdefault(item.shape.annotator, []).append(item)
    return people


def bad_bitmaps(items: Sequence[Item]) -> Iterator[str]:
    """A problem for each bitmap that is damaged: each is decoded once."""
    for item in items:
        if item.shape.bitmap is not None:
            try:
                item.shape.bitmap.read()
            except ValueError as error:
                yield f"{item.shape.where}: expected an area, found {error}"


def _kind(item: Item, brushes: Brushes) -> str:
    kind = item.shape.kind
    return "mark" if kind in ("point", "stroke") or (item.shape.brush and brushes.as_strokes) else kind


def _pixels(item: Item, size: Size, brushes: Brushes) -> npt.NDArray[np.bool_]:
    try:
        if item.shape.kind == "area":
            return area_pixels(item.shape, size)
        if item.shape.kind == "stroke":
            return stroke_pixels(item.shape, size, brushes.width)
    except ValueError as error:
        raise DataError(f"{item.shape.where}: expected an area, found {error}.") from None
    pixels = np.zeros(size, bool)
    x, y = item.numbers
    pixels[disk((math.floor(y), math.floor(x)), brushes.radius + 1e-6, shape=size)] = True
    return pixels


def _four(item: Item) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = item.numbers
    return x1, y1, x2, y2


def _most(labels: npt.NDArray[np.uint8], voters: int | npt.NDArray[np.int64], otherwise: int) -> Mask:
    """The label [H,W] that more than half of the voters give, of [P,H,W]."""
    result = np.full(labels.shape[1:], otherwise, np.uint8)
    for value in np.unique(labels):
        result[2 * (labels == value).sum(axis=0) > voters] = value
    return result


def _agreed_boxes(people: Sequence[Sequence[Box]]) -> Iterator[Box]:
    left = [(person, box) for person, boxes in enumerate(people) for box in boxes]
    while left:
        _, first = left[0]
        group: dict[int, Box] = {}
        for person, box in left:
            if box.class_ == first.class_ and person not in group and _overlap(first, box) >= SAME:
                group[person] = box
        if 2 * len(group) > len(people):
            x1, y1, x2, y2 = np.median([box.corners for box in group.values()], axis=0).tolist()
            yield Box((x1, y1, x2, y2), first.class_)
        taken = {id(box) for box in group.values()}
        left = [(person, box) for person, box in left if id(box) not in taken]


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    (a1, b1, a2, b2), (c1, d1, c2, d2) = one.corners, other.corners
    common = max(0.0, min(a2, c2) - max(a1, c1)) * max(0.0, min(b2, d2) - max(b1, d1))
    return common / ((a2 - a1) * (b2 - b1) + (c2 - c1) * (d2 - d1) - common)
