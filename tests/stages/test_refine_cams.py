from __future__ import annotations

import numpy as np
import pytest

from models.refiners.dense_crf import DenseCrf
from models.structures import Cam, Image
from stages.refine_cams import refine_cams


def brighten(image: Image, cam: Cam) -> Cam:
    return Cam(cam.classes, cam.scores * (image.max() / np.float32(255)), cam.size)


def samples(count: int) -> list[tuple[str, Image, Cam]]:
    rng = np.random.default_rng(0)
    return [
        (
            f"i{k}",
            np.full((20, 24, 3), 10 * k, np.uint8),
            Cam(np.array([1]), rng.random((1, 5, 6), dtype=np.float32), (20, 24)),
        )
        for k in range(count)
    ]


def test_order_and_laziness() -> None:
    given = samples(3)
    stream = refine_cams(iter(given), brighten)
    name, first = next(stream)
    assert name == "i0"
    assert not first.scores.any()
    assert [name for name, _ in stream] == ["i1", "i2"]


def test_refiners_chain() -> None:
    given = samples(2)
    once = refine_cams(given, brighten)
    twice = refine_cams(((n, i, c) for (n, i, _), (_, c) in zip(given, once, strict=True)), brighten)
    np.testing.assert_allclose(list(twice)[1][1].scores, given[1][2].scores * (10 / 255) ** 2, rtol=1e-5)


def test_dense_crf_in_the_stage() -> None:
    pytest.importorskip("pydensecrf")
    refined = dict(refine_cams(samples(2), DenseCrf(iterations=2)))
    assert refined["i1"].scores.shape == (1, 20, 24)
