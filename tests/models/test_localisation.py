"""Boxes of score maps at every level, and how often they are right: small maps by hand, others against a plain loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from models.metrics.level_boxes import LEVELS, Contours, Levels, Pieces, to_levels
from models.metrics.localisation import (
    THRESHOLDS,
    BoxSweep,
    box_iou,
    overlaps,
    rank_of,
    scaled_boxes,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "boxes" / "wsol_boxes.npz"


def largest_boxes(levels: Levels) -> npt.NDArray[np.int64]:
    return Contours.of(levels).largest()


def contour_boxes(levels: Levels) -> Pieces:
    return Contours.of(levels).every()


def largest_overlaps(levels: Levels, truth: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return overlaps(levels, truth)[0]


def best_overlaps(levels: Levels, truth: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return overlaps(levels, truth)[1]


def drawn(*rectangles: tuple[int, int, int, int, int], size: tuple[int, int] = (12, 16)) -> Levels:
    """(left, top, right, bottom, value) over zeros; later ones on top."""
    levels = np.zeros(size, np.uint8)
    for left, top, right, bottom, value in rectangles:
        levels[top:bottom, left:right] = value
    return levels


def test_a_map_is_stretched_to_eight_bits_and_a_flat_one_is_empty() -> None:
    assert to_levels(np.array([[2.0, 3.0], [4.0, 6.0]], np.float32)).tolist() == [[0, 63], [127, 255]]
    for value in (0.0, 0.7):
        flat = to_levels(np.full((3, 4), value, np.float32))
        assert not flat.any()
        assert not largest_boxes(flat).any()
        assert not largest_overlaps(flat, np.array([[0, 0, 3, 2]])).any()
        assert not best_overlaps(flat, np.array([[0, 0, 3, 2]])).any()


def test_one_rectangle_has_its_box_at_every_level_below_it() -> None:
    boxes = largest_boxes(drawn((3, 2, 8, 6, 200)))
    assert (boxes[:200] == [3, 2, 8, 6]).all()
    assert not boxes[200:].any(), "a pixel is above a level that it exceeds, not one that it equals"


def test_the_largest_contour_wins_until_it_is_gone() -> None:
    boxes = largest_boxes(drawn((0, 0, 6, 6, 100), (9, 1, 12, 4, 250)))
    assert (boxes[:100] == [0, 0, 6, 6]).all()
    assert (boxes[100:250] == [9, 1, 12, 4]).all()


def test_a_contour_is_as_large_as_what_it_encloses() -> None:
    """A ring of 20 pixels encloses (5 - 0)^2 = 25; a block of 30 pixels (6 x 5) only 5 * 4 = 20."""
    ring = drawn((0, 0, 6, 6, 90), (1, 1, 5, 5, 0), (8, 0, 14, 5, 90))
    assert largest_boxes(ring)[0].tolist() == [0, 0, 6, 6]


def test_a_thin_line_encloses_nothing_and_equal_areas_go_to_the_last_in_reading_order() -> None:
    assert largest_boxes(drawn((0, 0, 16, 1, 90), (2, 5, 4, 7, 90)))[0].tolist() == [2, 5, 4, 7]
    assert largest_boxes(drawn((0, 0, 3, 3, 90), (6, 6, 9, 9, 90)))[0].tolist() == [6, 6, 9, 9]
    assert largest_boxes(drawn((0, 0, 3, 1, 90), (5, 4, 6, 5, 90)))[0].tolist() == [5, 4, 6, 5]


def test_corners_connect() -> None:
    assert largest_boxes(drawn((0, 0, 3, 3, 90), (3, 3, 5, 5, 90)))[0].tolist() == [0, 0, 5, 5]


def test_all_contours_are_pieces_and_the_holes_in_them() -> None:
    found = contour_boxes(drawn((1, 1, 7, 7, 90), (3, 3, 5, 5, 20), (10, 2, 12, 4, 50)))
    level, index = found.at_levels()
    at = {int(chosen): sorted(found.boxes[index[level == chosen]].tolist()) for chosen in (0, 20, 49, 50, 89)}
    assert at[0] == [[1, 1, 7, 7], [10, 2, 12, 4]]
    assert at[20] == at[49] == [[1, 1, 7, 7], [2, 2, 6, 6], [10, 2, 12, 4]], "the hole's box is one pixel larger"
    assert at[50] == at[89] == [[1, 1, 7, 7], [2, 2, 6, 6]]
    assert not (level >= 90).any()


def contours(mask: npt.NDArray[np.bool_]) -> list[tuple[float, int, list[int]]]:
    """(area, first pixel, box) of every piece and, with area -1, of every hole, as plainly as can be."""
    found = []
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    for number in range(1, count + 1):
        filled = ndimage.binary_fill_holes(pieces == number)
        corners = sum(
            filled[a : a + len(mask) - 1, b : b + mask.shape[1] - 1].astype(int) for a in (0, 1) for b in (0, 1)
        )
        area = float((corners == 4).sum() + (corners == 3).sum() / 2)
        found.append((area, int(np.flatnonzero(pieces == number)[0]), box(pieces == number)))
    empty, count = ndimage.label(~np.pad(mask, 1))
    for number in range(1, count + 1):
        if number != empty[0, 0]:
            left, top, right, bottom = box((empty == number)[1:-1, 1:-1])
            found.append((-1.0, -1, [left - 1, top - 1, right + 1, bottom + 1]))
    return found


def box(mask: npt.NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def random_maps() -> list[Levels]:
    """Noise of few values, blurred noise, a map of one row, one of one column."""
    rng = np.random.default_rng(0)
    noise = [rng.choice([0, 60, 120, 255], (14, 11), p=[0.4, 0.2, 0.2, 0.2]).astype(np.uint8) for _ in range(4)]
    smooth = [to_levels(ndimage.gaussian_filter(rng.random((24, 30)), s).astype(np.float32)) for s in (0.7, 1.5, 3)]
    return [*noise, *smooth, rng.integers(0, 255, (1, 9), np.uint8), rng.integers(0, 255, (9, 1), np.uint8)]


@pytest.mark.parametrize("levels", random_maps(), ids=lambda levels: "x".join(map(str, levels.shape)))
def test_the_tree_says_what_a_labelling_of_every_level_says(levels: Levels) -> None:
    largest, every = largest_boxes(levels), contour_boxes(levels)
    level, index = every.at_levels()
    for at in range(LEVELS):
        plain = contours(levels > at)
        assert largest[at].tolist() == (max(plain)[2] if plain else [0, 0, 0, 0]), at
        assert sorted(every.boxes[index[level == at]].tolist()) == sorted(found[2] for found in plain), at


@pytest.mark.skipif(not GOLDEN.is_file(), reason="no boxes of OpenCV")
def test_the_boxes_are_those_of_opencv() -> None:
    """tests/golden/README.md says how they were made."""
    with np.load(GOLDEN) as golden:
        for k in range(int(golden["maps"])):
            levels = golden[f"map_{k}"]
            assert np.array_equal(largest_boxes(levels), golden[f"largest_{k}"]), k
            every = contour_boxes(levels)
            level, index = every.at_levels()
            rows = np.column_stack([level, every.boxes[index]])
            assert np.array_equal(rows[np.lexsort(rows.T[::-1])], golden[f"every_{k}"]), k


def test_iou_counts_the_ends_of_boxes_as_theirs() -> None:
    """[0,9] x [0,9] has 100 pixels; [5,9] x [0,9] shares 50 of them."""
    truth = np.array([[0, 0, 9, 9], [5, 0, 9, 9], [20, 20, 30, 30]])
    assert box_iou(np.array([[0, 0, 9, 9]]), truth).tolist() == [[1.0, 0.5, 0.0]]


def test_a_box_at_the_border_is_cut_there() -> None:
    """x + w = 16 becomes 15: a truth [0, 15] x [0, 11] is met exactly; inside the image the right end stays x + w."""
    whole = drawn((0, 0, 16, 12, 255))
    whole[0, 0] = 0
    assert largest_overlaps(whole, np.array([[0, 0, 15, 11]]))[0] == 1
    part = drawn((2, 3, 6, 8, 255))
    assert largest_overlaps(part, np.array([[2, 3, 6, 8]]))[0] == 1


def test_any_of_several_true_boxes_will_do() -> None:
    levels = drawn((0, 0, 6, 6, 255))
    truth = np.array([[9, 9, 12, 11], [0, 0, 6, 6]])
    assert (largest_overlaps(levels, truth) == 1).all()
    assert not largest_overlaps(levels, truth[:1]).any()


def test_the_smaller_object_is_found_by_v2_alone() -> None:
    levels = drawn((0, 0, 8, 8, 255), (11, 1, 14, 4, 255))
    truth = np.array([[11, 1, 14, 4]])
    assert not largest_overlaps(levels, truth).any()
    assert (best_overlaps(levels, truth) == 1).all()


def test_a_threshold_is_a_level_and_ties_go_to_the_lowest() -> None:
    assert len(THRESHOLDS) == 1000
    sweep = BoxSweep((0.3, 0.5))
    overlaps = np.zeros(LEVELS)
    overlaps[100:150] = 0.4
    overlaps[127:150] = 0.6
    sweep.update(overlaps)
    sweep.update(np.zeros(LEVELS))
    curve = sweep.curve()
    assert curve.shape == (2, 1000)
    assert sorted(set(curve[1])) == [0, 0.5]
    assert curve[1, 498] == 0
    assert curve[1, 499] == 0.5, "int(.499 * 255) is 127"
    assert sweep.best().tolist() == [393, 499], "int(.393 * 255) is the first that is 100"


def test_an_iou_that_is_just_reached_counts() -> None:
    sweep = BoxSweep((0.5,))
    sweep.update(np.full(LEVELS, 0.5))
    assert (sweep.curve() == 1).all()
    sweep.update(np.full(LEVELS, 0.9), counts=False)
    assert (sweep.curve() == 0.5).all()


def test_boxes_are_brought_to_a_grid_and_cut_off() -> None:
    boxes = np.array([[60, 27, 385, 331]], np.float32)
    assert scaled_boxes(boxes, (335, 500), (224, 224)).tolist() == [[26, 18, 172, 221]]
    assert scaled_boxes(boxes, (335, 500), (335, 500)) is boxes


def test_ranks_of_equal_logits_are_by_number() -> None:
    logits = np.array([1.0, 3.0, 3.0, 0.0])
    assert [rank_of(logits, label) for label in (1, 2, 3, 4)] == [2, 0, 1, 3]
