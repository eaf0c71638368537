from __future__ import annotations

import numpy as np
import pytest
import torch

from models.ops.resize import resize_bilinear


@pytest.mark.parametrize(
    ("source", "target"),
    [((7, 9), (50, 61)), ((24, 32), (375, 500)), ((13, 8), (5, 3)), ((1, 6), (4, 4)), ((5, 5), (5, 9))],
)
def test_same_numbers_as_torch(source: tuple[int, int], target: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random((3, *source), dtype=np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[None], target, mode="bilinear", align_corners=False
    )
    resized = resize_bilinear(maps, target)
    assert resized.dtype == np.float32
    # A coordinate near 32 has an ulp of 2e-6, and torch rounds it differently with another number of threads.
    np.testing.assert_allclose(resized, expected[0].numpy(), rtol=0, atol=2e-6)


def test_right_size_and_no_maps() -> None:
    maps = np.ones((2, 4, 5), np.float32)
    assert resize_bilinear(maps, (4, 5)) is maps
    assert resize_bilinear(maps[:0], (8, 9)).shape == (0, 8, 9)
    with pytest.raises(ValueError, match="found shape"):
        resize_bilinear(maps[0], (8, 9))
