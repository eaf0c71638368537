from __future__ import annotations

import numpy as np
import pytest

from models.structures import Supervision
from stages.overlay_labels import overlay_labels


def labels(
    seeds: list[list[int]], tags: list[bool], boxes: float | None = None, segments: int | None = None
) -> Supervision:
    size = np.shape(seeds)
    return Supervision(
        np.array(tags),
        np.array(seeds, np.uint8),
        None if boxes is None else np.full((1, 4), boxes, np.float32),
        None if boxes is None else np.array([1]),
        None if segments is None else np.full(size, segments, np.int32),
    )


LOWER = labels([[0, 1, 2, 255]], [True, True, False], boxes=1.0, segments=7)


def test_what_the_upper_labels_say_counts_and_below_254_the_lower_ones_do() -> None:
    upper = labels([[3, 254, 0, 254]], [False, False, True])
    ((name, made),) = overlay_labels([("a", LOWER, upper)])
    assert name == "a"
    np.testing.assert_array_equal(made.seeds, np.array([[3, 1, 0, 255]], np.uint8))
    assert made.seeds.dtype == np.uint8
    np.testing.assert_array_equal(made.tags, [True, True, True])
    assert made.boxes is LOWER.boxes
    assert made.segments is LOWER.segments


def test_a_corrected_mask_takes_the_place_of_all_below_it() -> None:
    upper = labels([[255, 0, 0, 3]], [False, False, True], boxes=2.0, segments=8)
    ((_, made),) = overlay_labels([("a", LOWER, upper)])
    np.testing.assert_array_equal(made.seeds, upper.seeds)
    assert made.boxes is upper.boxes
    assert made.segments is upper.segments


def test_an_image_that_nobody_looked_at_stays() -> None:
    ((_, made),) = overlay_labels([("a", LOWER, None)])
    assert made is LOWER


def test_labels_of_another_image_are_refused() -> None:
    with pytest.raises(ValueError, match="a: expected labels of one image"):
        list(overlay_labels([("a", LOWER, labels([[0, 1]], [True, True, False]))]))
