"""The mean of two CAMs, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import DataError
from models.structures import Cam
from stages.merge_cams import merge_cams


def cam(scores: list[list[float]], *classes: int, size: tuple[int, int] = (2, 4)) -> Cam:
    maps = np.array(scores, np.float32)[:, None]  # [K,1,w]
    return Cam(np.array(classes or range(1, len(scores) + 1), np.int64), maps, size)


def test_the_mean_by_weight() -> None:
    one, two = cam([[0.0, 1.0], [0.5, 0.5]]), cam([[1.0, 0.0], [0.1, 0.9]])
    ((name, made),) = merge_cams([("a", one, two)])
    assert name == "a"
    np.testing.assert_allclose(made.scores[:, 0], [[0.5, 0.5], [0.3, 0.7]], rtol=1e-6)
    ((_, made),) = merge_cams([("a", one, two)], weight=0.25)
    np.testing.assert_allclose(made.scores[:, 0], [[0.25, 0.75], [0.4, 0.6]], rtol=1e-6)
    assert made.scores.dtype == np.float32
    assert (made.classes.tolist(), made.size) == ([1, 2], (2, 4))


def test_three_at_equal_shares() -> None:
    one, two, three = cam([[0.0, 0.3]]), cam([[0.6, 0.3]]), cam([[0.9, 0.0]])
    ((_, both),) = merge_cams([("a", one, two)])
    ((_, made),) = merge_cams([("a", both, three)], weight=1 / 3)
    np.testing.assert_allclose(made.scores[0, 0], [0.5, 0.2], rtol=1e-6)


def test_the_grid_and_the_instances_of_the_first_are_kept() -> None:
    instances = np.ones((2, 4), np.int32)
    one = Cam(np.array([1], np.int64), np.zeros((1, 1, 4), np.float32), (2, 4), instances)
    ((_, made),) = merge_cams([("a", one, cam([[0.0, 1.0]]))])
    np.testing.assert_allclose(made.scores[0, 0], [0, 0.125, 0.375, 0.5])
    assert made.instances is instances


def test_an_image_without_classes_stays_empty() -> None:
    nothing = Cam(np.zeros(0, np.int64), np.zeros((0, 1, 2), np.float32), (2, 4))
    ((_, made),) = merge_cams([("a", nothing, nothing)])
    assert made.scores.shape == (0, 1, 2)


@pytest.mark.parametrize("other", [cam([[0.0, 1.0]], 2), cam([[0.0, 1.0]], 1, size=(4, 4))])
def test_other_classes_or_sizes_are_refused(other: Cam) -> None:
    with pytest.raises(DataError, match=r"Image 'a': expected two CAMs of the same classes, found \[1\] at \(2, 4\)"):
        list(merge_cams([("a", cam([[0.0, 1.0]], 1), other)]))
