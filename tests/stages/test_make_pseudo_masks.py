from __future__ import annotations

from typing import NoReturn

import numpy as np
import pytest

from models.rules.ir_label import IrLabel
from models.rules.pseudo_masks import Constant
from models.structures import Cam
from stages.make_pseudo_masks import make_pseudo_masks

CAM = Cam(np.array([2]), np.array([[[0.1, 0.9]]], np.float32), (1, 2))
TAGS = np.array([False, True, False])


def unread() -> NoReturn:
    raise AssertionError("the rule needs no image")


def test_a_pseudo_mask_is_a_supervision() -> None:
    ((name, supervision),) = make_pseudo_masks([("a", unread, CAM, TAGS)], Constant(0.5))
    assert name == "a"
    np.testing.assert_array_equal(supervision.seeds, [[0, 2]])
    np.testing.assert_array_equal(supervision.tags, TAGS)
    assert supervision.boxes is None


def test_image_is_read_for_a_rule_that_needs_it() -> None:
    pytest.importorskip("pydensecrf")
    image = np.random.default_rng(0).integers(0, 256, (12, 14, 3)).astype(np.uint8)
    cam = Cam(np.array([2]), np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4), (12, 14))
    reads: list[str] = []

    def load() -> np.ndarray:
        reads.append("a")
        return image

    ((_, supervision),) = make_pseudo_masks([("a", load, cam, TAGS)], IrLabel())
    assert reads == ["a"]
    assert supervision.seeds.shape == (12, 14)
