from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from models.doors import resolve
from models.errors import ConfigurationError
from models.rules import RULES
from models.rules.pseudo_masks import Complement, Constant, Power, TwoThreshold
from models.structures import Cam

SIZE = (3, 4)
ALL = np.ones(5, bool)


def cam(**scores: list[float]) -> Cam:
    """A Cam of one row of pixels: ``cam(c2=[...], c5=[...])``."""
    classes = np.array([int(name[1:]) for name in scores], np.int64)
    values = np.array(list(scores.values()), np.float32)[:, None]
    return Cam(classes, values, (1, values.shape[2]))


def test_constant_prefers_background_on_a_tie() -> None:
    seeds = Constant(0.25)(cam(c2=[0.1, 0.25, 0.26, 0.9], c5=[0.0, 0.0, 0.3, 0.9]), None, ALL)
    assert seeds.dtype == np.uint8
    np.testing.assert_array_equal(seeds, [[0, 0, 5, 2]])


def test_power_crossings_as_published() -> None:
    crossings = {1: 0.50, 4: 0.276, 6: 0.222, 16: 0.123, 24: 0.094, 32: 0.077}
    for alpha, crossing in crossings.items():
        seeds = Power(alpha)(cam(c1=[crossing - 2e-3, crossing + 2e-3]), None, ALL)
        np.testing.assert_array_equal(seeds, [[0, 1]])


def test_power_leaves_unsure_pixels_unlabelled() -> None:
    given = cam(c1=[0.3, 0.9, 0.0], c2=[0.29, 0.1, 0.0])
    np.testing.assert_array_equal(Power(6, least=0.6)(given, None, ALL), [[254, 1, 0]])
    np.testing.assert_array_equal(Power(6)(given, None, ALL), [[1, 1, 0]])
    with pytest.raises(ConfigurationError, match=r"power.least: expected a share in \[0,1\), found 1.5"):
        Power(least=1.5)


def test_complement_can_lift_weak_classes_to_their_peak() -> None:
    given = cam(c1=[0.2, 0.05, 0.0], c3=[0.05, 0.02, 0.1])
    np.testing.assert_array_equal(Complement()(given, None, ALL), [[0, 0, 0]])
    # background .75 .93 .9 over .93; class 1 over .2; class 3 over .15, as its own peak is less
    np.testing.assert_array_equal(Complement(peak=0.15)(given, None, ALL), [[1, 0, 0]])
    with pytest.raises(ConfigurationError, match=r"complement.peak: expected a share in \[0,1\], found -0.1"):
        Complement(peak=-0.1)


def test_complement_is_the_argmax_of_posteriors() -> None:
    seeds = Complement()(cam(c1=[0.2, 0.6, 0.34, 0.5], c3=[0.2, 0.1, 0.35, 0.5]), None, ALL)
    np.testing.assert_array_equal(seeds, [[0, 1, 3, 1]])


@pytest.mark.parametrize("unsure", [254, 255])
def test_two_threshold_leaves_a_band(unsure: int) -> None:
    rule = TwoThreshold(0.5, 0.2, unsure)
    seeds = rule(cam(c1=[0.1, 0.2, 0.3, 0.5, 0.51], c2=[0.0, 0.0, 0.4, 0.0, 0.9]), None, ALL)
    np.testing.assert_array_equal(seeds, [[0, 0, unsure, unsure, 2]])


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_keeps_to_the_tags_and_the_image_size(name: str) -> None:
    rng = np.random.default_rng(0)
    rule = resolve(RULES, name, "rule")()
    if rule.needs_image:
        pytest.importorskip("pydensecrf")
    image = rng.integers(0, 256, (30, 41, 3)).astype(np.uint8)
    given = Cam(np.array([1, 2, 4]), rng.random((3, 4, 6), dtype=np.float32), (30, 41))
    seeds = rule(given, image, np.array([True, False, False, True, True]))
    assert seeds.shape == (30, 41)
    assert seeds.dtype == np.uint8
    assert set(np.unique(seeds)) <= {0, 1, 4, 255}
    np.testing.assert_array_equal(rule(given, image, np.zeros(5, bool)), np.zeros((30, 41)))
    no_class = Cam(np.zeros(0, np.int64), np.zeros((0, 4, 6), np.float32), (30, 41))
    np.testing.assert_array_equal(rule(no_class, image, ALL), np.zeros((30, 41)))
    copy = pickle.loads(pickle.dumps(rule))  # noqa: S301 own object
    np.testing.assert_array_equal(copy(given, image, ALL), rule(given, image, ALL))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("constant", {"threshold": 1.5}, r"constant.threshold: expected a share in \[0,1\], found 1.5"),
        ("power", {"alpha": 0.0}, "power.alpha: expected a number above 0, found 0.0"),
        ("two_threshold", {"high": 0.2, "low": 0.4}, r"low: expected at most high \(0.2\), found 0.4"),
        ("two_threshold", {"unsure": 0}, "255"),
        ("ir_label", {"low": -0.1}, r"ir_label.low: expected a share in \[0,1\), found -0.1"),
        ("ir_label", {"preset": "irm"}, "Did you mean 'irn'"),
        ("ir_label", {"certainty": 0.0}, "certainty"),
    ],
)
def test_wrong_options_are_configuration_errors(name: str, options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve(RULES, name, "rule")(**options)


def test_a_class_beyond_the_tags() -> None:
    with pytest.raises(ValueError, match="class 6"):
        Constant()(cam(c6=[0.5]), None, ALL)


def test_cpu_stages_do_not_import_torch() -> None:
    modules = "stages.evaluate, stages.refine_cams, stages.make_pseudo_masks, models.rules.ir_label"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'pydensecrf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
