"""Where a map's cells look, and where they land in the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.ops.multiscale import resize_cells
from models.structures import Cam
from stages.export_cams import export_cams
from tests.helpers.on_device import device


class Strided(nn.Module):
    """The red channel through four centred 3x3 convolutions of stride 2: cell i looks at pixel 16 i."""

    stride = 16

    def __init__(self) -> None:
        super().__init__()
        convolution = nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False)
        nn.init.constant_(convolution.weight, 0.0)
        convolution.weight.data[0, 0, 1, 1] = 1.0
        self.layers = nn.Sequential(*[convolution] * 4)

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        return self.layers(image[:, :1]) * tags[:, :, None, None]


def peak(alignment: str, flip: bool) -> tuple[int, ...]:
    """Pixel of the strongest score for an image that is red at row 32, column 48 alone."""
    image = np.zeros((96, 129, 3), np.uint8)
    image[32, 48, 0] = 255
    samples = [("a", image, np.ones(1, bool))]
    views: dict[str, Any] = {"device": device(), "scales": [1.0], "flip": flip, "grid": "full"}
    ((_, cam),) = export_cams(samples, Strided(), alignment=alignment, **views)  # type: ignore[arg-type]
    assert isinstance(cam, Cam)
    return tuple(int(i) for i in np.unravel_index(cam.scores[0].argmax(), cam.scores[0].shape))


@pytest.mark.parametrize("flip", [False, True])
def test_a_cell_lands_where_it_looks(flip: bool) -> None:
    assert peak("cells", flip) == (32, 48)


def test_the_published_enlargement_moves_maps_by_half_a_cell() -> None:
    row, _ = peak("half_pixel", False)
    assert 6 <= row - 32 <= 9


def test_cells_of_stride_one_are_pixels() -> None:
    maps = torch.rand(2, 3, 5, 7)
    torch.testing.assert_close(resize_cells(maps, (5, 7), (5, 7), 1), maps)


def test_beyond_the_last_cell_its_value_goes_on() -> None:
    maps = torch.arange(3.0).view(1, 1, 1, 3)
    resized = resize_cells(maps, (1, 48), (1, 48), 16)[0, 0, 0]
    torch.testing.assert_close(resized[::16], torch.arange(3.0))
    assert (resized[33:] == 2).all()
