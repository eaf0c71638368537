"""One set of checks for boxes and points, whatever file they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor

import numpy as np
import numpy.typing as npt

from pipeline.annotations.items import Box, Mark, Marks, Numbers, Point
from pipeline.annotations.units import fits_as, unit_doubt, unit_problem
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice, first_of

SLACK = 1.0
"""Pixels that a box or point may lie beyond the image: some tools count from 1, others do not."""
MOSTLY = 0.5
"""Part of a box that must be in the image."""
FAR = 0.05
"""Part of the image's side; boxes that reach further beyond it are of another image, if they are many."""
MANY = 0.3
LEFT_OUT_AT_MOST = 0.1
"""Part of the points of a published file that may lie outside: more are of images of another size."""

Floats = npt.NDArray[np.float64]
Yes = npt.NDArray[np.bool_]


@dataclass
class Checked:
    """The marks that hold, (mark, its numbers within the image), and what is or may be wrong with the others."""

    kept: list[tuple[Mark, Numbers]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def checked_boxes(given: Marks, catalogue: Catalogue, whole: bool = True) -> Checked:
    """Check corners x1, y1, x2, y2 and clip them to their images.

    Args:
        given: all of the file: some mistakes show only in many.
        catalogue: of their images.
        whole: these are all marks; else nothing is concluded from how many are odd.
    """
    source, checked = given.source, Checked()
    marks, numbers, sizes = _finite(given, 4, catalogue, checked)
    if not marks or (whole and _wrong_units(source, numbers, sizes, checked)):
        return checked
    inverted = (numbers[:, 0] >= numbers[:, 2]) | (numbers[:, 1] >= numbers[:, 3])
    limits = np.stack([sizes[:, 1], sizes[:, 0]] * 2, axis=1)
    clipped = np.clip(numbers, 0, limits)
    outside = ~inverted & (_area(clipped) < MOSTLY * _area(numbers))
    beyond = np.maximum(-numbers, numbers - limits).max(axis=1)
    reaches = ~inverted & ~outside & (beyond > SLACK)
    checked.problems += fits_as(source, numbers, limits, inverted, outside)
    checked.problems += _lines(marks, numbers, sizes, inverted, "x1 < x2 and y1 < y2 in")
    checked.problems += _lines(marks, numbers, sizes, outside, "a box within")
    far = reaches & (np.maximum(-numbers, numbers - limits) > FAR * limits).any(axis=1)
    if whole and far.sum() > max(2, MANY * len(marks)):
        checked.problems.append(
            f"{source}: {far.sum()} of {len(marks)} boxes reach beyond their image by more than {FAR:.0%} of its side "
            f"({_first_places(marks, numbers, sizes, far)}). Remedy: give the boxes of the images as they are, not of "
            "their originals of another size."
        )
    elif reaches.any():
        checked.notices.append(
            Notice(
                "boxes_clipped",
                int(reaches.sum()),
                f"{source}: {reaches.sum()} of {len(marks)} boxes reach beyond their image, by up to "
                f"{beyond[reaches].max():g} pixels, and are clipped to it: "
                f"{_first_places(marks, numbers, sizes, reaches)}.",
            )
        )
    checked.kept = [
        (mark, tuple(corners))
        for mark, corners, bad in zip(marks, clipped.tolist(), (inverted | outside).tolist(), strict=True)
        if not bad
    ]
    return checked


def checked_points(given: Marks, catalogue: Catalogue, published: bool = False, whole: bool = True) -> Checked:
    """Check points x, y.

    Args:
        given: all of the file.
        catalogue: of their images.
        published: the file is one that is published with a few points outside of their images: those within a pixel
            move to the border, and others are left out, with a notice. In people's own files they are problems.
        whole: as for :func:`checked_boxes`.
    """
    source, checked = given.source, Checked()
    marks, numbers, sizes = _finite(given, 2, catalogue, checked)
    if not marks or (whole and _wrong_units(source, numbers, sizes, checked)):
        return checked
    pixels = np.floor(numbers)
    limits = np.stack([sizes[:, 1], sizes[:, 0]], axis=1)
    inside = np.clip(pixels, 0, limits - 1)
    outside = np.abs(inside - pixels).max(axis=1) > (SLACK if published else 0)
    few = published and outside.sum() <= max(2, LEFT_OUT_AT_MOST * len(marks))
    if outside.any() and few:
        checked.notices.append(
            Notice(
                "points_outside",
                int(outside.sum()),
                f"{source}: {outside.sum()} of {len(marks)} points lie outside of their image and are left out: "
                f"{_first_places(marks, numbers, sizes, outside)}.",
            )
        )
    elif outside.any():
        checked.problems += fits_as(source, numbers, limits, np.zeros(len(marks), bool), outside)
        checked.problems += _lines(marks, numbers, sizes, outside, "a point within")
    checked.kept = [
        (mark, tuple(xy)) for mark, xy, bad in zip(marks, inside.tolist(), outside.tolist(), strict=True) if not bad
    ]
    return checked


def as_box(mark: Mark, numbers: Numbers) -> Box:
    """A checked mark as a box."""
    x1, y1, x2, y2 = numbers
    return Box((x1, y1, x2, y2), mark.class_)


def as_point(mark: Mark, numbers: Numbers) -> Point:
    """A checked mark as a point."""
    return Point(floor(numbers[1]), floor(numbers[0]), mark.class_ or 0)


def check_sizes(marks: Marks, catalogue: Catalogue, stated: Sequence[tuple[str, str, tuple[int, int]]]) -> None:
    """Add one problem for all images whose stated size is not their own; their marks need no further look.

    Args:
        marks: of the file or folder.
        catalogue: of the images.
        stated: (id, where, stated (H, W)) of each image.
    """
    wrong = [
        (where, stated_size, catalogue.size(id))
        for id, where, stated_size in stated
        if stated_size != catalogue.size(id)
    ]
    if not wrong:
        return
    marks.other_size = {id for id, _, stated_size in stated if stated_size != catalogue.size(id)}
    turned = all(size == (stated_size[1], stated_size[0]) for _, stated_size, size in wrong)
    examples = [
        f"{where} is of an image of {_wh(stated_size)}, this one has {_wh(size)}"
        for where, stated_size, size in wrong[:3]
    ]
    remedy = (
        "Width and height are exchanged: the annotations were made on the images as their EXIF orientation turns them, "
        "or on the pixels as they are stored. Remedy: read the images in the same orientation (`upright`); of images "
        "without an EXIF orientation, whose boxes fit, exchange the two numbers in the file."
        if turned
        else "Remedy: take the images that were annotated, or scale the annotations with them."
    )
    marks.problems.insert(
        0,
        f"{marks.source}: {len(wrong)} of {len(stated)} are of images of another size: "
        f"{first_of(examples, between='; ', of=len(wrong))}. {remedy}",
    )


def _finite(given: Marks, count: int, catalogue: Catalogue, checked: Checked) -> tuple[list[Mark], Floats, Floats]:
    """Marks of finite numbers, those numbers [N,count], and (H, W) of their images [N,2]."""
    marks = [mark for mark in given.marks if mark.id not in given.other_size]
    numbers = np.array([mark.numbers for mark in marks], np.float64).reshape(-1, count)
    good: Yes = np.asarray(np.isfinite(numbers).all(axis=1))
    checked.problems += [
        f"{mark.where}: expected finite numbers, found {_shown(mark.numbers)}"
        for mark, fine in zip(marks, good.tolist(), strict=True)
        if not fine
    ]
    kept = [mark for mark, fine in zip(marks, good.tolist(), strict=True) if fine]
    sizes = np.array([catalogue.size(mark.id) for mark in kept], np.float64).reshape(-1, 2)
    return kept, numbers[good], sizes


def _wrong_units(source: str, numbers: Floats, sizes: Floats, checked: Checked) -> bool:
    """Whether all numbers are shares or percents; a doubt about it becomes a notice."""
    problem = unit_problem(source, numbers, sizes)
    if problem is not None:
        checked.problems.append(problem)
        return True
    doubt = unit_doubt(source, numbers, sizes)
    checked.notices += [] if doubt is None else [Notice("numbers_within_100", len(numbers), doubt)]
    return False


def _lines(marks: Sequence[Mark], numbers: Floats, sizes: Floats, which: Yes, expected: str) -> list[str]:
    return [
        f"{marks[at].where}: expected {expected} an image of {_wh(sizes[at])}, found {_shown(numbers[at].tolist())}"
        for at in np.flatnonzero(which).tolist()
    ]


def _first_places(marks: Sequence[Mark], numbers: Floats, sizes: Floats, which: Yes) -> str:
    places = [
        f"{marks[at].where} ('{marks[at].id}', {_wh(sizes[at])}): {_shown(numbers[at].tolist())}"
        for at in np.flatnonzero(which)[:3].tolist()
    ]
    return first_of(places, between="; ", of=int(which.sum()))


def _area(corners: Floats) -> Floats:
    area: Floats = np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 0), axis=1)
    return area


def _shown(numbers: Sequence[float]) -> str:
    if len(numbers) == 2:
        return f"x={numbers[0]:g}, y={numbers[1]:g}"
    return f"({', '.join(f'{number:g}' for number in numbers)})"


def _wh(size: Sequence[float] | Floats) -> str:
    """Of (H, W), as people say it: width x height."""
    return f"{int(size[1])} x {int(size[0])}"
