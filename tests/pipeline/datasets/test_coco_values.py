"""Polygons of COCO's JSON become arrays while it is parsed; everything else is left to whoever checks it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipeline.annotations.tools.coco import polygons
from pipeline.datasets.coco_shapes import read_shape
from pipeline.datasets.coco_values import packed, short, without_regions

SQUARE = [1, 2.5, 7, 2.5, 7, 9, 1, 9]
SIZE = (20, 20)


def parsed(segmentation: Any) -> Any:
    return json.loads(json.dumps({"id": 1, "segmentation": segmentation}), object_hook=packed)["segmentation"]


def test_polygons_become_arrays_of_the_same_numbers() -> None:
    arrays = parsed([SQUARE, SQUARE[:6]])
    assert [type(array) for array in arrays] == [np.ndarray, np.ndarray]
    assert [array.dtype for array in arrays] == [np.float64, np.float64]
    assert [array.tolist() for array in arrays] == [SQUARE, SQUARE[:6]]


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        None,
        SQUARE,
        [SQUARE, [1, 2]],
        [SQUARE[:7]],
        [[*SQUARE[:7], True]],
        [[*SQUARE[:7], "9"]],
        [[*SQUARE[:7], None]],
        [[*SQUARE[:7], 10**400]],
        [[[1, 2], [3, 4], [5, 6]]],
        {"size": [20, 20], "counts": [400]},
    ],
)
def test_what_is_no_list_of_polygons_stays(segmentation: Any) -> None:
    assert parsed(segmentation) == segmentation


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_stay(number: float) -> None:
    assert isinstance(parsed([[*SQUARE[:7], number]])[0], list)


def test_both_readers_take_arrays_as_they_take_lists() -> None:
    for segmentation in ([SQUARE], [SQUARE, SQUARE[:6]]):
        arrays = parsed(segmentation)
        for ours, theirs in zip(polygons(arrays), polygons(segmentation), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        shapes = [
            read_shape({"id": 1, "segmentation": given}, 1, SIZE).polygons or () for given in (arrays, segmentation)
        ]
        for ours, theirs in zip(*shapes, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_message_about_an_annotation_is_the_same_with_arrays() -> None:
    assert short({"segmentation": parsed([SQUARE])}) == short({"segmentation": [SQUARE]})


def test_regions_that_nobody_needs_go() -> None:
    text = json.dumps({"annotations": [{"id": 1, "segmentation": [SQUARE], "bbox": [1, 2, 3, 4]}]})
    assert json.loads(text, object_hook=without_regions) == {"annotations": [{"id": 1, "bbox": [1, 2, 3, 4]}]}
