"""Boxes and regions of COCO's annotations that lie in different places: one of the two is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coded

from tests.helpers.coco_field import entry, make, refused, region, write
from tests.helpers.coco_folder import HEIGHT, WIDTH, square

BOXES = [(2, 1, 9, 5), (11, 2, 14, 9), (3, 4, 6, 10), (1, 0, 12, 3)]
FILES = [f"images/{name}.png" for name in "abcd"]


def at(box: tuple[int, ...], change: Callable[[int, float], float] = lambda place, value: value) -> list[list[float]]:
    return [[change(place, value) for place, value in enumerate(square(*box)[0])]]


def exchanged(box: tuple[int, ...]) -> list[list[float]]:
    points = np.array(square(*box)[0]).reshape(-1, 2)[:, ::-1]
    return [points.reshape(-1).tolist()]


def along_rows(box: tuple[int, ...]) -> dict[str, Any]:
    left, top, right, bottom = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    rows = coded.encode(np.asfortranarray(mask.T))  # what a program that goes along the rows counts
    return {"size": [HEIGHT, WIDTH], "counts": rows["counts"].decode()}


def down_columns(box: tuple[int, ...]) -> dict[str, Any]:
    left, top, right, bottom = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    return {"size": [HEIGHT, WIDTH], "counts": coded.encode(mask)["counts"].decode()}


def data(root: Path, drawn: Callable[[tuple[int, ...]], Any], only: int | None = None) -> Path:
    images = [entry(number, Path(file).name) for number, file in enumerate(FILES, start=1)]
    found = []
    for number, box in enumerate(BOXES, start=1):
        left, top, right, bottom = box
        segmentation = drawn(box) if only in (None, number) else square(*box)
        bbox = [left, top, right - left, bottom - top]
        found.append(region(number, 1 + number % 2, segmentation, bbox=bbox) | {"id": number})
    write(root, images, found, files=FILES)
    return root


@pytest.mark.parametrize("drawn", [at, down_columns])
def test_equal_places_are_silent(tmp_path: Path, drawn: Callable[[tuple[int, ...]], Any]) -> None:
    _, truth, notices = make(data(tmp_path, drawn))
    assert notices == {}
    assert int((truth.mask("a") > 0).sum()) == 7 * 4


@pytest.mark.parametrize(
    ("drawn", "fragment"),
    [
        (along_rows, "the run lengths go along the rows"),
        (exchanged, "x and y exchanged"),
        (lambda box: at(box, lambda place, value: value * 100 / (HEIGHT if place % 2 else WIDTH)), "in percents"),
        (lambda box: at(box, lambda place, value: value * 2), "made 0.5 times as large"),
    ],
)
def test_one_mistake_that_explains_most_is_refused(
    tmp_path: Path, drawn: Callable[[tuple[int, ...]], Any], fragment: str
) -> None:
    message = refused(data(tmp_path, drawn))
    assert "bbox and segmentation of" in message
    assert fragment in message
    assert "Remedy:" in message


def test_a_single_one_is_a_warning_and_its_region_is_taken(tmp_path: Path) -> None:
    _, truth, notices = make(data(tmp_path, lambda box: square(15, 8, 20, 12), only=2))
    text = notices["bbox_and_segmentation_differ"]
    assert "1 of 4 annotations" in text
    assert "annotation 2: bbox from (11, 2) to (14, 9), segmentation from (15, 8) to (20, 12)" in text
    assert truth.mask("b")[9, 16] == 1


def test_what_no_mistake_explains_is_a_warning(tmp_path: Path) -> None:
    shifted = iter([(12, 6, 18, 12), (1, 9, 4, 12), (14, 0, 20, 2), (2, 8, 9, 11)])
    _, _, notices = make(data(tmp_path, lambda box: square(*next(shifted))))
    assert "4 of 4 annotations" in notices["bbox_and_segmentation_differ"]
