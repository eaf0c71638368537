from __future__ import annotations

import numpy as np
import pytest

from models.metrics.cam_sweep import PUBLISHED_THRESHOLDS, CamSweep
from models.metrics.confusion import ConfusionMatrix, mean
from models.metrics.contour import ContourScore, contour, contour_matches


def random_masks(rng: np.random.Generator, labels: int, void: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    shape = tuple(rng.integers(5, 20, 2))
    truth = rng.integers(0, labels, shape).astype(np.uint8)
    prediction = np.where(rng.random(shape) < 0.6, truth, rng.integers(0, labels, shape)).astype(np.uint8)
    truth[rng.random(shape) < void] = 255
    return prediction, truth


def test_confusion_counts_every_pixel_once() -> None:
    rng = np.random.default_rng(0)
    confusion, expected, missed = ConfusionMatrix(4), np.zeros((5, 5), int), np.zeros(5, int)
    for _ in range(5):
        prediction, truth = random_masks(rng, 5)
        prediction[rng.random(prediction.shape) < 0.1] = 254
        prediction[rng.random(prediction.shape) < 0.1] = 255
        confusion.update(prediction, truth)
        for p, t in zip(prediction.flat, truth.flat, strict=True):
            if t != 255 and p < 5:
                expected[t, p] += 1
            elif t != 255:
                missed[t] += 1
    np.testing.assert_array_equal(confusion.counts, expected)
    np.testing.assert_array_equal(confusion.missed, missed)
    judged = expected.sum() + missed.sum()
    assert confusion.pixel_accuracy == pytest.approx(np.trace(expected) / judged)
    assert confusion.coverage == pytest.approx(expected.sum() / judged)


def test_unlabelled_prediction_costs_the_true_class_only() -> None:
    truth = np.array([[1, 1, 2, 2]], np.uint8)
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([[1, 254, 2, 255]], np.uint8), truth)
    np.testing.assert_allclose(confusion.iou(), [0, 0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(confusion.precision(), [0, 1, 1], atol=1e-9)
    np.testing.assert_allclose(confusion.recall(), [0, 0.5, 0.5], atol=1e-9)
    np.testing.assert_allclose(confusion.iou(covered=True), [0, 1, 1], atol=1e-9)


def test_absent_class_is_zero_or_skipped() -> None:
    mask = np.array([[0, 0, 2, 2]], np.uint8)
    confusion = ConfusionMatrix(5)
    confusion.update(mask, mask)
    np.testing.assert_allclose(confusion.iou("zero"), [1, 0, 1, 0, 0, 0], atol=1e-9)
    np.testing.assert_array_equal(confusion.iou("skip"), [1, np.nan, 1])
    assert confusion.miou("zero") == pytest.approx(2 / 6)
    assert confusion.miou("skip") == 1


def test_largest_label_counts_void_area_too() -> None:
    confusion = ConfusionMatrix(9)
    confusion.update(np.array([[0, 7]], np.uint8), np.array([[0, 255]], np.uint8))
    assert confusion.largest == 7
    assert np.isnan(confusion.iou("skip")[7])


def test_nothing_judged_is_zero_and_not_nan() -> None:
    confusion = ConfusionMatrix(2)
    confusion.update(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    assert confusion.miou("zero") == confusion.miou("skip") == confusion.pixel_accuracy == 0
    assert mean(np.array([np.nan])) == 0


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "one shape"),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8), "uint8"),
        (np.full((2, 2), 4, np.uint8), np.zeros((2, 2), np.uint8), r"4 pixels .* 0\.\.3"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 254, np.uint8), r"4 pixels .* 0\.\.3"),
    ],
)
def test_confusion_refuses(prediction: np.ndarray, truth: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(3).update(prediction, truth)


def test_merge_equals_one_pass() -> None:
    rng = np.random.default_rng(1)
    parts = [(ConfusionMatrix(3), ContourScore(3), CamSweep(3)) for _ in range(3)]
    for i in range(6):
        prediction, truth = random_masks(rng, 4)
        scores = rng.random((2, *truth.shape), dtype=np.float32)
        for part in (parts[0], parts[1 + i % 2]):
            part[0].update(prediction, truth)
            part[1].update(prediction, truth)
            part[2].update(np.array([1, 3]), scores, truth)
    whole, left, right = parts
    for one, a, b in zip(whole, left, right, strict=True):
        a.merge(b)
        assert vars(one).keys() == vars(a).keys()
        for name, value in vars(one).items():
            if name == "images":  # the first part's, then the second's
                assert [each.truth.tolist() for each in a.images] == [
                    value[i].truth.tolist() for i in (0, 2, 4, 1, 3, 5)
                ]
                continue
            np.testing.assert_array_equal(getattr(a, name), value, err_msg=name)


def brute_contour(mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    edge = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x)] + ([(y + 1, x + 1)] if y < height - 1 and x < width - 1 else [])
            edge[y, x] = any(mask[n] != mask[y, x] for n in neighbours if n[0] < height and n[1] < width)
    return edge


@pytest.mark.parametrize("bound_th", [0.05, 1, 3])
def test_contour_matches_equal_all_pairs(bound_th: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        masks = [rng.random((13, 17)) < 0.15 for _ in range(2)]
        edges = [brute_contour(mask) for mask in masks]
        for mask, edge in zip(masks, edges, strict=True):
            np.testing.assert_array_equal(contour(mask), edge)
        radius = bound_th if bound_th >= 1 else np.ceil(bound_th * np.hypot(13, 17))
        a, b = (np.argwhere(edge) for edge in edges)
        near = np.linalg.norm(a[:, None] - b[None], axis=-1) <= radius
        expected = near.any(1).sum(), near.any(0).sum(), len(a), len(b)
        assert contour_matches(*masks, bound_th) == expected


def test_contour_conventions_for_absent_classes() -> None:
    score = ContourScore(4)
    prediction, truth = np.zeros((2, 20, 20), np.uint8)
    prediction[5:10, 5:10] = truth[5:10, 5:10] = 1
    prediction[12:15, 2:5] = 2
    truth[12:15, 12:15] = 3
    score.update(prediction, truth)
    np.testing.assert_array_equal(score.f(), [1, 0, 0, 1])


def test_void_is_background_for_the_contour() -> None:
    prediction, truth = np.zeros((2, 20, 20), np.uint8)
    prediction[5:15, 5:15] = truth[5:15, 5:15] = 1
    truth[5:15, 5:7] = 255
    score = ContourScore(1, bound_th=1)
    score.update(prediction, truth)
    assert score.f()[0] < 1


def brute_sweep(images: list[tuple], thresholds: tuple[float, ...], num_classes: int) -> list[ConfusionMatrix]:
    result = []
    for threshold in thresholds:
        confusion = ConfusionMatrix(num_classes)
        for classes, scores, truth in images:
            stack = np.zeros((1 + num_classes, *truth.shape), np.float32)
            stack[0] = threshold
            stack[classes] = scores
            confusion.update(stack.argmax(0).astype(np.uint8), truth)
        result.append(confusion)
    return result


def test_sweep_equals_an_argmax_per_threshold() -> None:
    rng = np.random.default_rng(3)
    images = []
    for classes in ([], [2], [1, 4], [1, 2, 5]):
        truth = random_masks(rng, 6)[1]
        scores = rng.random((len(classes), *truth.shape), dtype=np.float32)
        on_grid = rng.random(scores.shape) < 0.5  # ties with a threshold and between classes
        scores[on_grid] = np.float32(rng.choice(PUBLISHED_THRESHOLDS, on_grid.sum()))
        images.append((np.array(classes, np.int64), scores, truth))
    sweep = CamSweep(5)
    for image in images:
        sweep.update(*image)
    expected = brute_sweep(images, PUBLISHED_THRESHOLDS, 5)
    for i, confusion in enumerate(expected):
        np.testing.assert_array_equal(sweep.confusion(i).counts, confusion.counts)
    for absent in ("zero", "skip"):
        np.testing.assert_allclose(sweep.curve(absent), [c.miou(absent) for c in expected], rtol=0, atol=1e-15)
    assert sweep.best() == int(np.argmax([c.miou() for c in expected]))


def test_first_of_equal_thresholds_is_best() -> None:
    sweep = CamSweep(1)
    truth = np.array([[0, 1]], np.uint8)
    sweep.update(np.array([1]), np.array([[[0.1, 0.9]]], np.float32), truth)
    assert sweep.thresholds[sweep.best()] == 0.1


@pytest.mark.parametrize(
    ("classes", "shape", "label", "message"),
    [
        ([1], (2, 3, 3), 0, "scores are"),
        ([3], (1, 3, 3), 0, "classes must be"),
        ([1], (1, 3, 3), 3, "truth has labels"),
    ],
)
def test_sweep_refuses(classes: list[int], shape: tuple[int, ...], label: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CamSweep(2).update(np.array(classes), np.zeros(shape, np.float32), np.full((3, 3), label, np.uint8))


@pytest.mark.parametrize("thresholds", [[], [0.2, 0.1], [-0.1, 0.2]])
def test_sweep_refuses_thresholds(thresholds: list[float]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        CamSweep(2, thresholds)
