from __future__ import annotations

from itertools import product
from statistics import pstdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.metrics.cam_sweep import CamSweep
from models.metrics.confusion import ConfusionMatrix
from models.metrics.contour import ContourScore
from models.metrics.from_sums import BOUNDARY_F, METRICS, MIOU, Metric
from models.metrics.image_counts import BOUNDARY, PIXELS, ImageCounts, beside, mask_counts
from models.metrics.paired import Difference, paired_difference


def one_label(right: list[int], truth: int = 100) -> np.ndarray:
    """Counts [N,1,3] of predictions with nothing wrong but what is missing: the IoU of image n is right[n] / truth."""
    return np.array([[[truth, each, each]] for each in right], np.int64)


def test_two_seeds_and_three_images_by_hand() -> None:
    """Seed 0 gains 10 points on every image, seed 1 20: each resample is 10 or 20, so their deviation is 5."""
    theirs = [one_label([50, 60, 70]), one_label([50, 60, 70])]
    ours = [one_label([60, 70, 80]), one_label([70, 80, 90])]
    found = paired_difference(ours, theirs, MIOU)
    assert found.value == pytest.approx(15)
    t = 12.706  # Student's, 97.5 %, one degree of freedom
    assert (found.low, found.high) == pytest.approx((15 - 5 * t, 15 + 5 * t), rel=1e-2)
    assert (found.pairs, found.images, found.verdict) == (2, 3, "open")


def test_images_are_drawn_together_for_both_rows() -> None:
    """One seed: the deviation is that of all 27 ways to draw three of three images, mIoU taken of summed pixels."""
    ours, theirs = [90, 20, 40], [50, 30, 40]
    found = paired_difference([one_label(ours)], [one_label(theirs)], MIOU, resamples=20_000)
    drawn = [sum(ours[k] - theirs[k] for k in each) / 3 for each in product(range(3), repeat=3)]
    half = pstdev(drawn) * 4.303  # two degrees of freedom
    assert found.value == pytest.approx(10)
    assert (found.low, found.high) == pytest.approx((10 - half, 10 + half), rel=2e-2)


def test_miou_is_of_the_summed_counts_over_labels_that_the_truth_shows() -> None:
    """The first image is large: its label weighs more than a mean over images would give it."""
    ours = np.array([[[900, 900, 900], [0, 0, 0], [0, 10, 0]], [[0, 50, 0], [100, 50, 50], [0, 0, 0]]])
    theirs = ours.copy()
    theirs[1] = [[0, 100, 0], [100, 0, 0], [0, 0, 0]]
    found = paired_difference([ours], [theirs], MIOU)
    assert found.value == pytest.approx(100 * ((900 / 950 + 50 / 100) / 2 - (900 / 1000 + 0) / 2))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 6))
def test_identical_rows_do_not_differ_and_swapped_ones_differ_the_other_way(seed: int, pairs: int, images: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(1, 100, (images, 2))
    rows = []
    for _ in range(2 * pairs):
        right = rng.integers(0, truth + 1)
        rows.append(np.stack([truth, right + rng.integers(0, 20, truth.shape), right], 2))
    ours, theirs = rows[:pairs], rows[pairs:]
    same = paired_difference(ours, ours, MIOU, resamples=50)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert same.verdict == ("open" if pairs > 1 else "one seed")
    one, other = (paired_difference(*each, MIOU, resamples=50) for each in ((ours, theirs), (theirs, ours)))
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one == paired_difference(ours, theirs, MIOU, resamples=50)


@pytest.mark.parametrize("pairs", [2, 3, 5])
@pytest.mark.parametrize(("of_seeds", "of_images"), [(30, 0), (10, 40), (0, 60)])
def test_the_interval_covers_what_it_says(pairs: int, of_seeds: int, of_images: int) -> None:
    """No true difference; seeds, images (one row likes others) and their interplay vary: 95 % have to hold 0."""
    rng = np.random.default_rng(pairs)
    hits = 0
    for _ in range(200):
        easy, liked = rng.normal(600, 60, 20), (rng.normal(0, of_images, 20), np.zeros(20))
        rows = [easy + liked[k >= pairs] + rng.normal(0, of_seeds) + rng.normal(0, 20, 20) for k in range(2 * pairs)]
        counts = [one_label(np.rint(each).astype(int).tolist(), 1000) for each in rows]
        found = paired_difference(counts[:pairs], counts[pairs:], MIOU, resamples=200)
        hits += found.low <= 0 <= found.high
    assert 0.92 <= hits / 200 <= (0.995 if pairs > 2 else 1)


def test_images_and_seeds_count_as_they_are_known() -> None:
    """Three seeds gain 8, 10 and 12 points on every image but for one liked image: both errors by hand."""
    theirs = [one_label([500, 600, 700, 600], 1000)] * 3
    ours = [one_label([500 + g, 600 + g, 700 + g, 600 + g + 40], 1000) for g in (80, 100, 120)]
    found = paired_difference(ours, theirs, MIOU, resamples=20_000)
    gains = [10, 10, 10, 14]  # of the mean seed
    of_images = pstdev(gains) / 4**0.5 * 3.182  # Student's, 97.5 %, three degrees of freedom
    of_seeds = 2 / 3**0.5 * 4.303
    half = (of_images**2 + of_seeds**2) ** 0.5
    assert (found.value, found.high - found.value) == pytest.approx((11, half), rel=1e-2)


def test_verdicts_need_an_interval_without_zero() -> None:
    verdicts = [Difference(1, low, high, 5, 9).verdict for low, high in ((0.1, 2), (-2, -0.1), (-1, 3), (0, 2))]
    assert verdicts == ["better", "worse", "open", "open"]
    assert Difference(1, 0.1, 2, 1, 9).verdict == "one seed"  # an interval over images alone


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([], [], "as many evaluations"),
        ([one_label([1, 2])], [], "found 1 and 0"),
        ([one_label([1, 2])], [one_label([1, 2, 3])], "one shape"),
        ([one_label([1])], [one_label([1])], "two images"),
        ([one_label([1, 2])], [one_label([1, 2], truth=90)], "same ground truth"),
    ],
)
def test_what_cannot_be_compared(ours: list[np.ndarray], theirs: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(ours, theirs, MIOU)


def lists(counts: ImageCounts) -> list[list[int]]:
    return [counts.labels.tolist(), *counts.counts.T.tolist()]


def test_counts_of_a_mask() -> None:
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([[0, 2, 2, 255, 2]], np.uint8), np.array([[0, 0, 2, 2, 255]], np.uint8))
    assert lists(mask_counts(confusion)) == [[0, 2], [2, 2], [1, 2], [1, 1]]
    void = ConfusionMatrix(3)
    void.update(np.array([[1]], np.uint8), np.array([[255]], np.uint8))
    assert lists(mask_counts(void)) == [[0], [0], [0], [0]]


def test_a_sweep_counts_what_the_masks_of_each_threshold_count() -> None:
    rng = np.random.default_rng(3)
    sweep, thresholds = CamSweep(4, (0.0, 0.3, 0.6)), (0.0, 0.3, 0.6)
    images = [np.array([1, 3]), np.array([], np.int64), np.array([2])]
    truths = [rng.integers(0, 5, (6, 7)).astype(np.uint8) for _ in images]
    truths[0][0] = 255
    scores = [rng.random((len(classes), 6, 7), dtype=np.float32) for classes in images]
    for image in zip(images, scores, truths, strict=True):
        sweep.update(*image)
    for index, threshold in enumerate(thresholds):
        confusion = ConfusionMatrix(4)
        for classes, each, truth in zip(images, scores, truths, strict=True):
            best = classes[each.argmax(0)] if len(classes) else np.zeros(truth.shape, int)
            above = each.max(0, initial=0) > np.float32(threshold)
            confusion.update(np.where(above, best, 0).astype(np.uint8), truth)
        assert (sweep.confusion(index).counts == confusion.counts).all()


def one_class(matched: list[tuple[int, int]]) -> np.ndarray:
    """Counts [N,1,5] of one class: 100 boundary pixels of truth and 50 of prediction an image, so many matched."""
    return np.array([[[9, 100, 50, *each]] for each in matched], np.int64)


def test_boundary_f_by_hand() -> None:
    """Sums over two images: P is 60 / 100 against 40 / 100, R is 150 / 200 against 50 / 200."""
    ours, theirs = one_class([(90, 40), (60, 20)]), one_class([(30, 30), (20, 10)])
    found = paired_difference([ours], [theirs], BOUNDARY_F)
    assert found.value == pytest.approx(100 * (2 * 0.6 * 0.75 / 1.35 - 2 * 0.4 * 0.25 / 0.65))
    drawn = []
    for each in product(range(2), repeat=2):
        (right, hit), (wrong, miss) = (side[list(each), 0, 3:].sum(0) for side in (ours, theirs))
        p, r, q, s = hit / 100, right / 200, miss / 100, wrong / 200
        drawn.append(100 * (2 * p * r / (p + r) - 2 * q * s / (q + s)))
    half = pstdev(drawn) * 12.706  # Student's, 97.5 %, one degree of freedom
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=5e-2)


def test_boundary_f_has_a_verdict_of_its_own() -> None:
    """Three seeds, twenty images: contours that are surely better, regions that do not differ."""
    rng = np.random.default_rng(0)
    matched = rng.integers(20, 40, (3, 20))
    theirs = [one_class([(k, k) for k in seed]) for seed in matched]
    ours = [one_class([(k + 10, k + 10) for k in seed]) for seed in matched]
    assert paired_difference(ours, theirs, BOUNDARY_F).verdict == "better"
    assert paired_difference(theirs, ours, BOUNDARY_F).verdict == "worse"
    regions = [one_label(seed.tolist()) for seed in matched]
    assert paired_difference(regions, regions[::-1], MIOU).verdict == "open"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_a_metric_of_sums_is_that_of_all_images(metric: Metric) -> None:
    """The choice of all images gives what the evaluation computes, with a class that lies under void alone."""
    rng = np.random.default_rng(4)
    confusion, contours, images = ConfusionMatrix(3), ContourScore(3), []
    for _ in range(5):
        truth = np.kron(rng.integers(0, 3, (4, 5)), np.ones((6, 6))).astype(np.uint8)
        prediction = np.roll(truth, 1, 1)
        truth[:6, :6] = 255
        prediction[2:5, 2:5] = 3  # within the void, where no truth is
        image = ConfusionMatrix(3)
        images.append(beside(contours.update(prediction, truth, image.update(prediction, truth)), mask_counts(image)))
        confusion.merge(image)
    assert contours.f()[2] == 0
    columns = (*BOUNDARY, *PIXELS)
    sums = np.zeros((1, 4, len(columns)))
    for counted in images:
        sums[0, counted.labels] += counted.counts
    kept = sums[:, 0 if metric.background else 1 :, [columns.index(name) for name in metric.columns]]
    shown = np.where(confusion.in_truth[1:], contours.f(), np.nan)
    expected = {"miou": confusion.miou("truth"), "boundary_f": np.nanmean(shown)}[metric.key]
    assert metric.score(kept) == pytest.approx([100 * expected], abs=1e-12)


def test_nothing_shown_is_zero() -> None:
    assert MIOU.score(np.zeros((2, 0, 3))).tolist() == BOUNDARY_F.score(np.zeros((2, 4, 5))).tolist() == [0, 0]


def test_counts_of_another_metric_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape \[N,L,5\]"):
        paired_difference([one_label([1, 2])], [one_label([1, 2])], BOUNDARY_F)
