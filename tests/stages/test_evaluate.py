from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from models.errors import ConfigurationError, DataError
from models.structures import Cam
from stages.evaluate import CamScore, Evaluation, MaskScore, image_table, score_cam_masks, score_cams, score_masks

NAMES = ("cat", "dog")


def evaluate_masks(pairs: Iterable[Any], class_names: Sequence[str]) -> Evaluation:
    """Masks as one part."""
    return score_masks(pairs, class_names).evaluation()


def evaluate_cams(triples: Iterable[Any], class_names: Sequence[str], fixed_threshold: float = 0.25) -> Evaluation:
    """CAMs as one part, in two passes."""
    cams = list(triples)
    score = score_cams(cams, class_names, fixed_threshold)
    return score.evaluation(score_cam_masks(cams, class_names, score.best_threshold))


def pairs(count: int = 6) -> list[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    result = []
    for i in range(count):
        truth = np.kron(rng.integers(0, 3, (4, 5)), np.ones((6, 6))).astype(np.uint8)
        prediction = np.roll(truth, 1, 1)
        truth[0] = 255
        result.append((f"i{i}", prediction, truth))
    return result


def triples(count: int = 6) -> list[tuple[str, Cam, np.ndarray]]:
    rng = np.random.default_rng(1)
    result = []
    for name, mask, truth in pairs(count):
        classes = np.array([1, 2])
        clean = np.stack([mask == c for c in classes])[:, ::3, ::3].astype(np.float32)
        noise = rng.random(clean.shape, dtype=np.float32)
        result.append((name, Cam(classes, 0.6 * clean + 0.4 * noise, truth.shape), truth))
    return result


def test_perfect_masks() -> None:
    result = evaluate_masks([(n, np.where(t == 255, 0, t).astype(np.uint8), t) for n, _, t in pairs()], NAMES)
    for key in ("miou", "miou_absent_skip", "pixel_accuracy", "precision", "recall", "boundary_f", "coverage"):
        assert result.metrics[key] == pytest.approx(100), key
    assert result.metrics["images"] == 6
    assert list(result.metrics["classes"]) == ["background", "cat", "dog"]


def test_ignore_band_is_reported_as_coverage() -> None:
    half = []
    for name, _, truth in pairs():
        prediction = np.where(truth == 255, 0, truth).astype(np.uint8)
        prediction[:, ::2] = 254
        half.append((name, prediction, truth))
    metrics = evaluate_masks(half, NAMES).metrics
    assert metrics["coverage"] == pytest.approx(50)
    assert metrics["miou"] == pytest.approx(50, abs=3)
    assert metrics["miou_covered"] == pytest.approx(100)


def equal(a: Evaluation, b: Evaluation) -> bool:
    return json.dumps(a.metrics) == json.dumps(b.metrics) and a.tables == b.tables


def test_parts_in_other_processes_add_up() -> None:
    masks, cams = pairs(), triples()
    parts = [pickle.loads(pickle.dumps(score_masks(masks[k::2], NAMES))) for k in range(2)]  # noqa: S301 own object
    assert equal(parts[0].merge(parts[1]).evaluation(), evaluate_masks(masks, NAMES))
    halves: list[CamScore] = [pickle.loads(pickle.dumps(score_cams(cams[k::2], NAMES, 0.3))) for k in range(2)]  # noqa: S301 own object
    whole = halves[0].merge(halves[1])
    best: list[MaskScore] = [score_cam_masks(cams[k::2], NAMES, whole.best_threshold) for k in range(2)]
    assert equal(whole.evaluation(best[0].merge(best[1])), evaluate_cams(cams, NAMES, 0.3))


def test_cam_metrics_agree_with_masks_made_at_the_threshold() -> None:
    from models.rules.pseudo_masks import Constant

    result = evaluate_cams(triples(), NAMES, fixed_threshold=0.4).metrics
    for threshold, key in ((result["best_threshold"], "miou_best"), (0.4, "miou_fixed")):
        masks = [(n, Constant(threshold)(cam, None, np.ones(2, bool)), truth) for n, cam, truth in triples()]
        at = evaluate_masks(masks, NAMES).metrics
        assert result[key] == pytest.approx(at["miou"], abs=1e-9)
        if key == "miou_fixed":
            assert result["boundary_f_fixed"] == at["boundary_f"]
        else:
            for same in ("miou", "boundary_f", "classes", "pixel_accuracy", "precision", "recall"):
                assert result[same] == at[same], same
    assert result["boundary_f"] != result["boundary_f_fixed"]
    assert result["miou"] == result["miou_best"] >= result["miou_fixed"]
    assert result["fixed_threshold"] == 0.4


def test_tables_for_plots() -> None:
    result = evaluate_cams(triples(), NAMES)
    curve = result.tables["threshold_curve"]
    assert curve.columns == ("threshold", "miou")
    assert len(curve.rows) == 60
    assert max(row[1] for row in curve.rows) == result.metrics["miou_best"]
    confusion = result.tables["confusion"]
    assert len(confusion.rows) == 3 * 4
    assert sum(row[2] for row in confusion.rows) == sum((t != 255).sum() for _, _, t in pairs())
    json.dumps(confusion.rows)


def test_image_without_classes_is_background() -> None:
    empty = Cam(np.zeros(0, np.int64), np.zeros((0, 4, 5), np.float32), (24, 30))
    metrics = evaluate_cams([("a", empty, np.zeros((24, 30), np.uint8))], NAMES).metrics
    assert metrics["classes"]["background"] == pytest.approx(100)
    assert metrics["miou_absent_skip"] == 100


def test_classes_without_truth_are_left_out_and_named() -> None:
    truth = np.zeros((10, 10), np.uint8)
    truth[:, 5:] = 1  # 50 pixels each of background and cat, none of dog
    perfect = evaluate_masks([("a", truth, truth)], NAMES).metrics
    for key in ("miou", "miou_absent_skip", "boundary_f"):
        assert perfect[key] == pytest.approx(100), key
    assert perfect["miou_absent_zero"] == pytest.approx(200 / 3)
    assert perfect["absent_classes"] == "dog"
    assert list(perfect["classes"]) == ["background", "cat"]
    guessed = truth.copy()
    guessed[0, 5:] = 2  # 5 of the cat's 50 pixels: its IoU is 45 / 50
    wrong = evaluate_masks([("a", guessed, truth)], NAMES).metrics
    assert wrong["miou"] == pytest.approx((100 + 90) / 2)
    assert wrong["miou_absent_skip"] == pytest.approx((100 + 90 + 0) / 3)
    assert wrong["miou_absent_zero"] == pytest.approx((100 + 90 + 0) / 3)
    scores = np.stack([truth == 1, truth == 2]).astype(np.float32)
    cams = evaluate_cams([("a", Cam(np.array([1, 2]), scores, (10, 10)), truth)], NAMES).metrics
    assert (cams["miou"], cams["miou_best"], cams["miou_fixed"]) == pytest.approx((100, 100, 100))
    assert cams["absent_classes"] == "dog"


def test_all_conventions_agree_where_the_truth_has_all_classes() -> None:
    metrics = evaluate_masks(pairs(), NAMES).metrics
    assert metrics["miou"] == metrics["miou_absent_zero"]
    assert metrics["miou_absent_skip"] == pytest.approx(metrics["miou"])
    assert "absent_classes" not in metrics


def test_errors_name_the_image() -> None:
    bad = [*pairs(1), ("odd", np.zeros((3, 3), np.uint8), np.zeros((4, 4), np.uint8))]
    with pytest.raises(DataError, match=r"'odd'.*one shape"):
        evaluate_masks(bad, NAMES)
    cam = Cam(np.array([1]), np.zeros((1, 2, 2), np.float32), (3, 3))
    with pytest.raises(DataError, match=r"'odd'.*of an image"):
        evaluate_cams([("odd", cam, np.zeros((4, 4), np.uint8))], NAMES)
    with pytest.raises(DataError, match="Nothing to evaluate"):
        evaluate_masks([], NAMES)


@pytest.mark.parametrize(
    ("judge", "options", "message"),
    [
        (score_masks, {"bound_th": -1}, "evaluate.bound_th: expected a number of 0 or more, found -1"),
        (score_cams, {"bound_th": -1}, "evaluate.bound_th: expected a number of 0 or more, found -1"),
        (score_cams, {"fixed_threshold": 25}, r"evaluate.fixed_threshold: expected a share in \[0,1\], found 25"),
        (score_cam_masks, {"threshold": 25}, r"evaluate.threshold: expected a share in \[0,1\], found 25"),
    ],
)
def test_numbers_out_of_range_blame_no_image(judge: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        judge(triples(1) if judge is not score_masks else pairs(1), NAMES, **options)


@pytest.mark.parametrize("judged", ["masks", "cams"])
def test_counts_of_the_images_add_up_to_the_metrics(judged: str) -> None:
    result = evaluate_masks(pairs(), NAMES) if judged == "masks" else evaluate_cams(triples(), NAMES)
    table = image_table([name for name, _, _ in pairs()], result.images, NAMES)
    assert list(dict.fromkeys(row[0] for row in table.rows)) == [f"i{k}" for k in range(6)]
    iou = {}
    for label in ("background", *NAMES):
        truth, predicted, right = (sum(int(row[k]) for row in table.rows if row[1] == label) for k in (2, 3, 4))
        iou[label] = 100 * right / (truth + predicted - right)
    assert result.metrics["classes"] == pytest.approx(iou)
    assert result.metrics["miou"] == pytest.approx(sum(iou.values()) / 3)
    f = []
    for label in NAMES:
        truth, predicted, right, hit = (sum(int(row[k]) for row in table.rows if row[1] == label) for k in range(5, 9))
        f.append(200 * (right / truth) * (hit / predicted) / (right / truth + hit / predicted))
    assert result.metrics["boundary_f"] == pytest.approx(sum(f) / 2)
    assert all(row[5:] == (0, 0, 0, 0) for row in table.rows if row[1] == "background")
