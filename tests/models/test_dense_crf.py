from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

from models.doors import resolve
from models.errors import ConfigurationError
from models.refiners import REFINERS
from models.refiners.crf_unary import unary_from_labels, unary_from_scores
from models.refiners.dense_crf import PRESETS, CrfSettings, DenseCrf, MeanField, SegmentationCrf
from models.rules.affinity_label import AffinityLabel, merge_scores
from models.rules.ir_label import IrLabel, ir_label
from models.structures import Cam

pytest.importorskip("pydensecrf")


def scene(height: int = 40, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A bright noisy rectangle on a dark ground, and its mask."""
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), bool)
    mask[height // 4 : -height // 4, width // 4 : -width // 4] = True
    image = np.where(mask[..., None], (210, 150, 40), (40, 60, 90)) + rng.normal(0, 5, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), mask


def blurred(mask: np.ndarray, grid: int = 8, peak: float = 0.9) -> np.ndarray:
    """Block means of a mask: a CAM that has lost the contour, float32 [1,h,w]."""
    height, width = (n // grid for n in mask.shape)
    blocks = mask[: height * grid, : width * grid].reshape(height, grid, width, grid)
    return (peak * blocks.mean((1, 3))).astype(np.float32)[None]


def test_crf_brings_the_contour_back() -> None:
    image, mask = scene()
    cam = Cam(np.array([7]), blurred(mask), mask.shape)
    refined = DenseCrf()(image, cam)
    assert refined.scores.shape == (1, *mask.shape)
    assert refined.scores.dtype == np.float32
    assert 0 <= refined.scores.min() <= refined.scores.max() <= 1
    np.testing.assert_array_equal(refined.classes, cam.classes)
    assert refined.size == cam.size
    assert ((refined.scores[0] > 0.5) == mask).mean() > 0.99


def exact_mean_field(image: np.ndarray, unary: np.ndarray, settings: CrfSettings) -> np.ndarray:
    """Mean field with dense kernels: the equations that the library approximates."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    place = np.stack([y, x], -1).reshape(-1, 2).astype(float)
    colour = image.reshape(-1, 3).astype(float)
    apart = ((place[:, None] - place) ** 2).sum(-1)
    unlike = ((colour[:, None] - colour) ** 2).sum(-1)
    kernels = [
        (settings.gaussian_compat, np.exp(-apart / (2 * settings.gaussian_sxy**2))),
        (
            settings.bilateral_compat,
            np.exp(-apart / (2 * settings.bilateral_sxy**2) - unlike / (2 * settings.bilateral_srgb**2)),
        ),
    ]
    posterior = softmax(-unary)
    for _ in range(settings.iterations):
        energy = -unary.astype(float)
        for weight, kernel in kernels:
            norm = 1 / np.sqrt(kernel.sum(1) + 1e-20)
            energy = energy + weight * norm * (kernel @ (norm * posterior).T).T
        posterior = softmax(energy)
    return posterior.reshape(-1, height, width)


def softmax(values: np.ndarray) -> np.ndarray:
    exponent = np.exp(values - values.max(0))
    return exponent / exponent.sum(0)


@pytest.mark.parametrize("preset", ["psa", "irn", "seg_test"])
def test_library_agrees_with_the_exact_equations(preset: str) -> None:
    image, mask = scene(26, 30)
    unary = unary_from_scores(blurred(mask, 2), 4.0)
    image = image[::2, ::2]
    approximate = MeanField(image, 2, PRESETS[preset])(unary)
    exact = exact_mean_field(image, unary, PRESETS[preset])
    assert (approximate.argmax(0) == exact.argmax(0)).mean() >= 0.95


def test_one_field_infers_several_unaries() -> None:
    image, mask = scene()
    unaries = [unary_from_labels(mask.astype(int), 2, certainty) for certainty in (0.6, 0.9)]
    field = MeanField(image, 2, PRESETS["irn"])
    for unary in (*unaries, unaries[0]):
        np.testing.assert_array_equal(field(unary), MeanField(image, 2, PRESETS["irn"])(unary))


def test_no_class_and_no_activation() -> None:
    image, mask = scene()
    empty = Cam(np.zeros(0, np.int64), np.zeros((0, 5, 6), np.float32), mask.shape)
    assert DenseCrf()(image, empty) is empty
    silent = Cam(np.array([2, 3]), np.zeros((2, 5, 6), np.float32), mask.shape)
    for unary in ("scores", "softmax", "labels"):
        refined = DenseCrf(unary=unary)(image, silent)
        assert refined.scores.shape == (2, *mask.shape)
        assert not refined.scores.any()


def test_saturated_scores_stay_finite() -> None:
    image, mask = scene()
    full = Cam(np.array([1, 2]), np.ones((2, 5, 6), np.float32), mask.shape)
    for unary in ("scores", "softmax", "labels"):
        assert np.isfinite(DenseCrf(unary=unary)(image, full).scores).all()


def test_preset_brings_its_unary_and_options_override() -> None:
    assert DenseCrf("irn").settings == PRESETS["irn"]
    assert DenseCrf("irn").settings.unary == "labels"
    changed = DenseCrf("psa", iterations=3, bilateral_sxy=40, gaussian_compat=0).settings
    assert changed == CrfSettings(3, 0, 40, 13, 10, 3, "scores")


def test_label_unary_of_all_classes() -> None:
    image, mask = scene()
    cam = Cam(np.array([7]), blurred(mask), mask.shape)
    few, many = DenseCrf("ppc_png")(image, cam), DenseCrf("ppc_png", num_labels=21)(image, cam)
    assert many.scores.shape == few.scores.shape
    assert not np.array_equal(many.scores, few.scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "pza"}, "Did you mean 'psa'"),
        ({"unary": "score"}, "Did you mean 'scores'"),
        ({"certainty": 1.0}, "certainty: expected a share in"),
        ({"alpha": 0.0}, "alpha: expected a number above 0"),
        ({"iterations": 0}, "iterations: expected a whole number above 0"),
        ({"bilateral_srgb": -1.0}, "bilateral_srgb: expected a number above 0"),
        ({"bilateral_compat": -1.0}, "bilateral_compat: expected a number of 0 or more"),
        ({"gaussian_compat": -1.0}, "gaussian_compat: expected a number of 0 or more"),
        ({"preset": "irn", "threshold": 30.0}, r"threshold: expected a share in \[0,1\), found 30"),
    ],
)
def test_wrong_options_are_configuration_errors(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve(REFINERS, "dense_crf", "refiner")(**options)


def test_image_of_another_size() -> None:
    image, mask = scene()
    with pytest.raises(ValueError, match="of an image"):
        DenseCrf()(image[1:], Cam(np.array([1]), blurred(mask), mask.shape))


def test_missing_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    image, mask = scene()
    with pytest.raises(ConfigurationError, match="pip install pydensecrf2"):
        DenseCrf()(image, Cam(np.array([1]), blurred(mask), mask.shape))


def test_refiners_travel_to_other_processes() -> None:
    image, mask = scene()
    cam = Cam(np.array([1]), blurred(mask), mask.shape)
    for part in (DenseCrf("irn", iterations=2), SegmentationCrf(), IrLabel()):
        copy = pickle.loads(pickle.dumps(part))  # noqa: S301 own object
        assert type(copy) is type(part)
    moved = pickle.loads(pickle.dumps(DenseCrf()))  # noqa: S301 own object
    np.testing.assert_array_equal(moved(image, cam).scores, DenseCrf()(image, cam).scores)


def probabilities(mask: np.ndarray, labels: int = 5) -> np.ndarray:
    scores = np.full((labels, *mask.shape), 0.02, np.float32)
    scores[0], scores[3] = np.where(mask, 0.3, 0.6), np.where(mask, 0.6, 0.3)
    scores[4] = 0.001
    return scores / scores.sum(0)


def test_segmentation_crf_keeps_present_labels() -> None:
    image, mask = scene()
    given = probabilities(mask)
    everything = SegmentationCrf()(image, given)
    np.testing.assert_allclose(everything.sum(0), 1, atol=1e-5)
    assert ((everything.argmax(0) == 3) == mask).mean() > 0.98
    tagged = SegmentationCrf()(image, given, np.array([True, False, True, False]))
    assert not tagged[[2, 4]].any()
    assert tagged[1].any()
    assert not SegmentationCrf(min_peak=0.01)(image, given)[4].any()
    only_background = SegmentationCrf()(image, given, np.zeros(4, bool))
    np.testing.assert_array_equal(only_background.argmax(0), 0)
    np.testing.assert_array_equal(only_background[0], 1)


def test_ir_label_is_where_two_runs_agree() -> None:
    stripes = np.repeat(np.array([0, 1, 2]), 14)[None].repeat(30, 0)
    image = np.array([20, 120, 230], np.uint8)[stripes][..., None].repeat(3, 2)
    scores = np.array([0.1, 0.5, 0.9], np.float32)[stripes][None]
    for unsure in (255, 254):
        label = ir_label(image, Cam(np.array([4]), scores, stripes.shape), 0.7, 0.3, unsure=unsure)
        np.testing.assert_array_equal(label, np.array([0, unsure, 4])[stripes])
    empty = Cam(np.zeros(0, np.int64), np.zeros((0, 5, 6), np.float32), stripes.shape)
    np.testing.assert_array_equal(ir_label(image, empty), np.zeros(stripes.shape))
    for wrong in ({"fg_threshold": 30.0}, {"bg_threshold": -0.1}):
        with pytest.raises(ConfigurationError, match=r"ir_label\.[fb]g_threshold: expected a share in \[0,1\)"):
            ir_label(image, empty, **wrong)  # type: ignore[arg-type]


def test_cells_are_labelled_where_the_runs_leave_no_doubt() -> None:
    """Columns of cells: object in both runs, background in the cautious one, in the low one only, beyond the image."""
    low = np.array([[0.2, 0.1, 0.9, 0], [0.8, 0.9, 0.1, 0]], np.float32)
    high = np.array([[0.1, 0.6, 0.1, 0], [0.9, 0.4, 0.9, 0]], np.float32)
    as_pixels = (scores[:, None].repeat(4, 1).repeat(4, 2) for scores in (low, high))
    labels, _ = merge_scores(*as_pixels, 4)
    assert labels.tolist() == [[1, 0, 255, 255]]


@pytest.mark.parametrize("block", [1, 8])
def test_affinity_labels_of_an_object_on_plain_ground(block: int) -> None:
    image, mask = scene()
    rule = AffinityLabel(low=1, high=24, block=block, unsure=254)
    cam = Cam(np.array([3]), blurred(mask), image.shape[:2])
    labels = rule(cam, image, np.array([False, False, True]))
    assert labels.shape == image.shape[:2]
    assert labels.dtype == np.uint8
    assert {0, 3} <= set(np.unique(labels)) <= {0, 3, 254}
    assert np.mean(labels[mask] == 3) > 0.6
    assert np.mean(labels[~mask] == 3) < 0.1
    nothing = rule(cam, image, np.zeros(3, bool))
    assert not nothing.any()


@pytest.mark.parametrize("options", [{"low": 0}, {"low": 9, "high": 4}, {"block": 0}, {"unsure": 7}])
def test_affinity_labels_of_no_meaning(options: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="affinity_label"):
        AffinityLabel(**options)  # type: ignore[arg-type]
