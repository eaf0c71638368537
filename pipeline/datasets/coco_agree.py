"""Do an annotation's box and its region lie in the same place? Each of them alone may look right and be wrong.

Points with x and y exchanged, percents, coordinates of another size and runs along the rows all paint something, and
mostly within the image. Nearly every tool writes the box of the region beside it, which tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from pipeline.datasets.coco_shapes import Shape
from pipeline.datasets.ground_truth import Corners
from pipeline.problems.notices import Notice, first_of

SIDES = 2.0
"""Pixels by which each side of a region may miss its box: some tools round, some count from 1."""
SAME = 0.5
"""Intersection over union of box and region from which on they are one place: regions are often coarser."""
EXPLAINED, FEWEST, MOST = 0.9, 3, 0.5
"""What explains this part of the differing annotations is refused, if these are so many, and most of a file."""

Floats = npt.NDArray[np.float64]


@dataclass
class Agreement:
    """What was compared of a file, one row for each annotation whose box and region differ.

    Attributes:
        compared: annotations that have both.
        numbers: of those that differ, with their boxes and regions [left, top, right, bottom], the regions as they are
            if the runs go along the rows, and the images' (H, W).
    """

    compared: int = 0
    numbers: list[int] = field(default_factory=list)
    boxes: list[Corners] = field(default_factory=list)
    regions: list[Corners] = field(default_factory=list)
    by_rows: list[Corners] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def add(self, shape: Shape, box: Corners | None, size: tuple[int, int]) -> None:
        """Compare a shape with the box of its annotation, in an image of (H, W)."""
        region = None if box is None or shape.box is not None else _extent(shape, size)
        if box is None or region is None or not (box[0] < box[2] and box[1] < box[3]):
            return
        self.compared += 1
        if _same(box, region):
            return
        self.numbers.append(shape.number)
        self.boxes.append(box)
        self.regions.append(region)
        self.by_rows.append(region if shape.runs is None else _exchanged(_of_runs(shape.runs, size[::-1])))
        self.sizes.append(size)

    def notices(self, path: Path) -> Iterator[Notice]:
        """One notice where boxes and regions differ.

        Raises:
            DataError: most do, and one mistake explains them.
        """
        if not self.numbers:
            return
        count = len(self.numbers)
        head = f"{path}: bbox and segmentation of {count} of {self.compared} annotations lie in different places"
        example = (
            f" (annotation {self.numbers[0]}: bbox from {_point(self.boxes[0][:2])} to {_point(self.boxes[0][2:])}, "
            f"segmentation from {_point(self.regions[0][:2])} to {_point(self.regions[0][2:])})"
        )
        reason = self._reason() if count >= max(FEWEST, MOST * self.compared) else None
        if reason is not None:
            raise DataError(f"{head}{example}. {reason}")
        more = f"; also {first_of([str(number) for number in self.numbers[1:]])}" if count > 1 else ""
        text = f"{head}{example}{more}. The segmentation is taken. See which of the two is right."
        yield Notice("bbox_and_segmentation_differ", count, text)

    def _reason(self) -> str | None:
        """The mistake that explains nearly all of them."""
        boxes, regions = np.array(self.boxes, np.float64), np.array(self.regions, np.float64)
        sides = np.array([size[::-1] * 2 for size in self.sizes], np.float64)
        scale = float(np.median((boxes[:, 2:] - boxes[:, :2]) / np.maximum(regions[:, 2:] - regions[:, :2], 1e-9)))
        as_corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        tried: list[tuple[Floats, Floats, Callable[[], str]]] = [
            (boxes, np.array(self.by_rows, np.float64), lambda: (
                "They agree if the run lengths go along the rows; COCO's go down the columns. Remedy: encode the masks "
                "with pycocotools (in Fortran order)."
            )),
            (boxes, regions[:, [1, 0, 3, 2]], lambda: (
                "They agree with x and y exchanged in one of them. Remedy: write points as x, y and boxes as x, y, "
                "width, height."
            )),
            (boxes, regions * sides / 100, lambda: (
                "They agree if the segmentation is in percents of the image. Remedy: multiply x by width / 100 and y "
                "by height / 100."
            )),
            (boxes, regions * sides, lambda: (
                "They agree if the segmentation is in shares of the image. Remedy: multiply x by the width and y by "
                "the height."
            )),
            (as_corners, regions, lambda: (
                "They agree if bbox is left, top, right, bottom. Remedy: write [x1, y1, x2 - x1, y2 - y1]."
            )),
            (boxes, regions * scale, lambda: (
                f"They agree if the segmentation is made {scale:.3g} times as large: one of the two is of images of "
                "another size. Remedy: scale both as the images were scaled."
            )),
        ]  # fmt: skip
        for left, right, reason in tried:
            if np.mean([_same(a, b) for a, b in zip(left.tolist(), right.tolist(), strict=True)]) >= EXPLAINED:
                return reason()
        return None


def _same(one: Corners, other: Corners) -> bool:
    if all(abs(a - b) <= SIDES for a, b in zip(one, other, strict=True)):
        return True
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return False
    return width * height >= SAME * (_area(one) + _area(other) - width * height)


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _extent(shape: Shape, size: tuple[int, int]) -> Corners | None:
    """Left, top, right, bottom of a region; None where it has no pixel, or is none."""
    if shape.runs is not None:
        whole = shape.runs.size > 1 and shape.runs.min() >= 0 and sum(shape.runs.tolist()) == size[0] * size[1]
        return _of_runs(shape.runs, size) if whole and shape.runs[1::2].any() else None
    if not shape.polygons:
        return None
    points = shape.polygons[0] if len(shape.polygons) == 1 else np.concatenate(shape.polygons)
    pairs = points.reshape(-1, 2)
    (left, top), (right, bottom) = pairs.min(0).tolist(), pairs.max(0).tolist()
    return (left, top, right, bottom) if isfinite(left + top + right + bottom) else None


def _of_runs(runs: npt.NDArray[np.int64], size: tuple[int, int]) -> Corners:
    """Of runs down the columns of (H, W); those along the rows are runs of (W, H), whose x and y are exchanged."""
    ends = np.cumsum(runs)
    first, last = ends[:-1:2], ends[1::2] - 1
    first, last = first[: len(last)][last >= first[: len(last)]], last[last >= first[: len(last)]]
    height = size[0]
    crossing = bool((first // height < last // height).any())
    top, bottom = (0, height) if crossing else (int((first % height).min()), int((last % height).max()) + 1)
    return float(first[0] // height), float(top), float(last[-1] // height + 1), float(bottom)


def _exchanged(box: Corners) -> Corners:
    return box[1], box[0], box[3], box[2]


def _point(point: tuple[float, ...]) -> str:
    return f"({', '.join(f'{number:g}' for number in point)})"
