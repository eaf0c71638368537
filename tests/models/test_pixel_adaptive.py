"""Pixel-adaptive refinement: what it keeps, what it moves, and its store-level refiner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import ConfigurationError
from models.ops.adaptive_settings import KINDS
from models.ops.pixel_adaptive import PixelAdaptive
from models.refiners.pixel_adaptive import PixelAdaptiveRefiner
from models.structures import Cam

TOTAL = {"pamr": 1.0, "par": 1.01, "varm": 0.99}


def halves(height: int = 24, width: int = 32) -> torch.Tensor:
    """A picture [1,3,H,W], black on the left and white on the right, with a little noise."""
    picture = torch.zeros(1, 3, height, width)
    picture[..., width // 2 :] = 1
    return picture + 0.01 * torch.rand(picture.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_pixel_sum_as_published(kind: str) -> None:
    weights = PixelAdaptive(kind).weights(halves())  # type: ignore[arg-type]
    assert torch.allclose(weights.sum(1), torch.full((1, 24, 32), TOTAL[kind]), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_fills_its_side_of_an_edge(kind: str) -> None:
    mask = torch.zeros(1, 1, 24, 32)
    mask[..., 4:20, 4:14] = 1
    refined = PixelAdaptive(kind, iterations=10, dilations=(1, 2, 4))(halves(), mask)[0, 0]  # type: ignore[arg-type]
    assert refined[:, :15].mean() > 5 * refined[:, 17:].mean()
    assert refined[0, :14].max() > 0.05  # rows that the mask did not have


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_rows_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    picture, mask = torch.rand(2, 3, 21, 30, generator=generator), torch.rand(2, 4, 21, 30, generator=generator)
    refine = PixelAdaptive(kind, 3)  # type: ignore[arg-type]
    whole = refine(picture, mask.requires_grad_()).detach()
    monkeypatch.setattr("models.ops.pixel_adaptive.CACHE_ELEMENTS", 1000)
    with torch.no_grad():
        assert torch.equal(refine(picture, mask), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_picture_gives_no_nan(kind: str) -> None:
    picture = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    mask = torch.rand(1, 2, 16, 16, requires_grad=True)
    refined = PixelAdaptive(kind)(picture, mask)  # type: ignore[arg-type]
    refined.sum().backward()
    assert refined.isfinite().all()
    assert picture.grad is not None
    assert picture.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_refiner_of_a_store(kind: str) -> None:
    image = (halves()[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
    scores = np.zeros((2, 6, 8), np.float32)
    scores[0, 1:5, 1:3] = 1
    scores[1, 1:5, 5:7] = 0.9
    refiner = PixelAdaptiveRefiner(kind)  # type: ignore[arg-type]
    refined = refiner(image, Cam(np.array([3, 7]), scores, (24, 32)))
    assert refined.scores.shape == (2, 24, 32)
    assert refined.scores.min() >= 0
    assert (refined.scores.sum(0) <= 1 + 1e-5).all()
    assert refined.scores[0, 12, 4] > refined.scores[1, 12, 4]
    assert refined.scores[1, 12, 28] > refined.scores[0, 12, 28]
    silent = refiner(image, Cam(np.array([3]), np.zeros((1, 6, 8), np.float32), (24, 32)))
    assert not silent.scores.any()
    empty = Cam(np.zeros(0, np.int64), np.zeros((0, 6, 8), np.float32), (24, 32))
    assert refiner(image, empty) is empty


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ConfigurationError, match="pamr"):
        PixelAdaptive("pamm")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="iterations"):
        PixelAdaptive("par", iterations=0)
    with pytest.raises(ConfigurationError, match="threshold"):
        PixelAdaptiveRefiner(threshold=1.5)
