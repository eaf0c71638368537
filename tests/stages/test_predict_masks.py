"""Labels of a segmenter whose scores are known."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.ops.multiscale import WINDOW
from models.structures import Image
from stages.predict_masks import AHEAD, ImageSample, predict_masks


class Nearest(nn.Module):
    """Background where it is dark, class c where colour channel c shines; at half the image's resolution."""

    align_corners = False

    def scores(self, image: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        coarse = functional.avg_pool2d(image, 2, ceil_mode=True)
        return 8 * torch.cat([torch.full_like(coarse[:, :1], 0.5), coarse], dim=1)


def picture(height: int = 24, width: int = 32) -> tuple[Image, npt.NDArray[np.uint8]]:
    """Class 1 on the left, class 2 in a block at the right, background elsewhere."""
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[:, :8] = 1
    mask[8:16, 20:28] = 2
    image[mask == 1, 0] = 255
    image[mask == 2, 1] = 255
    return image, mask


def predict(*samples: ImageSample, **options: Any) -> list[npt.NDArray[np.uint8]]:
    return [mask for _, mask in predict_masks(samples, Nearest(), **options)]


@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize("flip", [False, True])
def test_the_mask_is_the_best_class_of_each_pixel(average: str, flip: bool) -> None:
    image, expected = picture()
    (mask,) = predict(("a", image, None), average=average, flip=flip, scales=[1.0, 2.0])
    assert (mask.dtype, mask.shape) == (np.uint8, image.shape[:2])
    assert (mask == expected).mean() > 0.97
    assert set(np.unique(mask)) == {0, 1, 2}


def test_tags_say_which_classes_may_win() -> None:
    image, expected = picture()
    (mask,) = predict(("a", image, np.array([True, False, False])))
    assert set(np.unique(mask)) == {0, 1}
    assert (mask == np.where(expected == 2, 0, expected)).mean() > 0.97


def test_logits_and_probabilities_average_differently() -> None:
    """Views that disagree: one is very sure of class 1, two lean to the background."""

    class Disagree(nn.Module):
        def scores(self, image: Tensor) -> Tensor:
            sure = image.shape[-1] == 32
            logits = torch.zeros(len(image), 2, 1, 1)
            logits[:, 1] = 9.0 if sure else -2.0
            return logits

    sample = ("a", picture()[0], None)
    for average, label in (("logits", 1), ("probabilities", 0)):
        ((_, mask),) = predict_masks([sample], Disagree(), scales=[0.5, 1.0, 2.0], average=average)  # type: ignore[arg-type]
        assert (mask == label).all()


def test_a_crf_gets_image_and_probabilities() -> None:
    image, _ = picture()

    def crf(given: Image, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        assert np.array_equal(given, image)
        assert (probabilities.shape, probabilities.dtype) == ((4, *image.shape[:2]), np.float32)
        np.testing.assert_allclose(probabilities.sum(0), 1, rtol=1e-5)
        return probabilities[[3, 1, 2, 0]]

    (mask,) = predict(("a", image, None), crf=crf)
    assert set(np.unique(mask)) == {1, 2, 3}


def test_crfs_elsewhere_keep_order_and_masks_and_their_number_is_bounded() -> None:
    under_way: list[str] = []

    def samples() -> Iterator[ImageSample]:
        for number in range(AHEAD + 5):
            under_way.append(str(number))
            yield str(number), picture(24, 32 + number % 3)[0], None

    def crf(image: Image, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return probabilities[[3, 1, 2, 0]]

    here = [mask for _, mask in predict_masks(samples(), Nearest(), crf=crf)]
    under_way.clear()
    with ThreadPoolExecutor(3) as pool:
        stream = predict_masks(samples(), Nearest(), crf=crf, elsewhere=pool)
        name, first = next(stream)
        assert (name, len(under_way)) == ("0", AHEAD + WINDOW)
        rest = list(stream)
    assert [name for name, _ in rest] == [str(number) for number in range(1, AHEAD + 5)]
    for mask, expected in zip([first, *(mask for _, mask in rest)], here, strict=True):
        assert np.array_equal(mask, expected)


def test_order_and_sizes_are_kept_in_batches() -> None:
    def samples() -> Iterator[ImageSample]:
        for number in range(9):
            yield str(number), picture(24, 32 + 2 * (number % 3))[0], None

    found = list(predict_masks(samples(), Nearest(), batch_size=2))
    assert [name for name, _ in found] == [str(number) for number in range(9)]
    for number, (_, mask) in enumerate(found):
        assert np.array_equal(mask, predict(("a", picture(24, 32 + 2 * (number % 3))[0], None))[0])


def test_align_corners_is_the_networks_own() -> None:
    class Aligned(Nearest):
        align_corners = True

    image = np.random.default_rng(0).integers(256, size=(30, 30, 3), dtype=np.uint8)
    ((_, plain),) = predict_masks([("a", image, None)], Nearest())
    ((_, aligned),) = predict_masks([("a", image, None)], Aligned())
    scores = Aligned().eval()
    with torch.no_grad():
        logits = scores.scores(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    expected = functional.interpolate(logits, (30, 30), mode="bilinear", align_corners=True).argmax(1)[0].numpy()
    assert np.array_equal(aligned, expected)
    assert not np.array_equal(aligned, plain)
