"""Multi-scale CAMs of a localizer whose maps are known."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.structures import Cam, Image
from stages.export_cams import ImageSample, export_cams

C = 3


class Colours(nn.Module):
    """Class c is wherever colour channel c is, at a quarter of the image's resolution."""

    stride = 4

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.shapes: list[tuple[int, ...]] = []

    def cams(self, image: Tensor, tags: Tensor) -> Tensor:
        self.shapes.append(tuple(image.shape))
        assert not torch.is_grad_enabled()
        pooled = functional.avg_pool2d(self.dropout(image), 4, ceil_mode=True)
        return pooled * tags[:, :, None, None]


def picture(height: int, width: int, number: int) -> Image:
    return np.random.default_rng(number).integers(256, size=(height, width, 3), dtype=np.uint8)


def samples(count: int = 6) -> Iterator[ImageSample]:
    for number in range(count):
        size = (32, 40) if number % 2 else (40, 32)
        tags = np.array([number % 2 == 0, number % 3 == 0, True]) if number != 4 else np.zeros(C, bool)
        yield f"{number}", picture(*size, number), tags


def exported(**options: object) -> dict[str, Cam]:
    return dict(export_cams(samples(), Colours(), **options))  # type: ignore[arg-type]


def test_a_square_is_what_the_network_sees_and_the_map_is_of_the_image() -> None:
    network = Colours()
    cams = dict(export_cams(samples(2), network, square=48, scales=[1.0, 0.5], flip=False, grid=4))
    assert network.shapes == [(1, 3, 48, 48), (1, 3, 24, 24)] * 2
    assert [(cam.size, cam.scores.shape[1:]) for cam in cams.values()] == [((40, 32), (10, 8)), ((32, 40), (8, 10))]


def test_cams_are_in_order_of_tagged_classes_only_and_within_bounds() -> None:
    cams = exported()
    assert list(cams) == ["0", "1", "2", "3", "4", "5"]
    assert [cam.classes.tolist() for cam in cams.values()] == [[1, 2, 3], [3], [1, 3], [2, 3], [], [3]]
    for number, cam in enumerate(cams.values()):
        size = (32, 40) if number % 2 else (40, 32)
        assert (cam.size, cam.scores.shape) == (size, (len(cam.classes), size[0] // 4, size[1] // 4))
        assert (cam.scores.dtype, cam.classes.dtype) == (np.float32, np.int64)
        assert all(0 <= scores.min() < 0.01 and 0.99 < scores.max() <= 1 for scores in cam.scores)


def test_one_view_is_the_plain_map_normalised() -> None:
    image = picture(32, 32, 1)
    tags = np.array([True, False, True])
    ((_, cam),) = export_cams(
        [("a", image, tags)], Colours(), scales=[1.0], flip=False, normalization="max", alignment="half_pixel"
    )
    plain = (image / 255).reshape(8, 4, 8, 4, 3).mean((1, 3))[..., [0, 2]].transpose(2, 0, 1)
    np.testing.assert_allclose(cam.scores, plain / (plain.max((1, 2), keepdims=True) + 1e-5), rtol=1e-5)


def test_the_mirror_image_is_mirrored_back() -> None:
    image, tags = picture(32, 32, 1), np.ones(C, bool)
    once = dict(export_cams([("a", image, tags)], Colours(), scales=[1.0], flip=False, alignment="half_pixel"))["a"]
    both = dict(export_cams([("a", image, tags)], Colours(), scales=[1.0], flip=True, alignment="half_pixel"))["a"]
    np.testing.assert_allclose(once.scores, both.scores, atol=1e-4)
    mirrored = dict(export_cams([("a", image[:, ::-1].copy(), tags)], Colours(), alignment="half_pixel"))["a"]
    whole = dict(export_cams([("a", image, tags)], Colours(), alignment="half_pixel"))["a"]
    np.testing.assert_allclose(mirrored.scores[:, :, ::-1], whole.scores, atol=1e-5)


@pytest.mark.parametrize(("grid", "expected"), [(1, (30, 33)), (8, (4, 5)), ("full", (30, 33))])
def test_grids_cover_the_whole_image(grid: int | str, expected: tuple[int, int]) -> None:
    ((_, cam),) = export_cams([("a", picture(30, 33, 0), np.ones(C, bool))], Colours(), grid=grid)  # type: ignore[arg-type]
    assert cam.scores.shape == (C, *expected)


def test_images_of_equal_size_share_the_network_and_scales_are_rounded() -> None:
    network = Colours()
    list(export_cams(samples(), network, scales=[0.5, 1.3], flip=True, batch_size=2))
    assert network.shapes[:2] == [(4, 3, 20, 16), (4, 3, 52, 42)]  # two images and their mirror images
    assert sum(shape[0] for shape in network.shapes) == 6 * 2 * 2


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batching_changes_nothing(batch_size: int) -> None:
    for name, cam in exported(batch_size=batch_size).items():
        np.testing.assert_allclose(cam.scores, exported(batch_size=2)[name].scores, atol=1e-6)


def test_it_restores_the_mode_of_the_network_and_reads_ahead_by_a_window_only() -> None:
    network = Colours().train()
    read = []

    def stream() -> Iterator[ImageSample]:
        for sample in samples(60):
            read.append(sample[0])
            yield sample

    cams = export_cams(stream(), network, batch_size=2)
    next(cams)
    assert len(read) == 8
    assert network.training
    assert torch.is_grad_enabled()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images() -> None:
    network = Colours()
    counts = []
    for number, _ in enumerate(export_cams(samples(48), network, scales=[1.0], batch_size=2)):
        if number % 8 == 7:
            gc.collect()
            counts.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))
    assert max(counts[1:]) <= counts[0]
    assert not network._forward_hooks


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_where_the_device_is_fast_in_it(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.ops.multiscale.is_fast_in", lambda dtype, kind: fast)

    class Net(Colours):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, C, 3, 4, 1)
            self.seen: list[torch.dtype] = []

        def cams(self, image: Tensor, tags: Tensor) -> Tensor:
            maps = self.conv(image)
            self.seen.append(maps.dtype)
            return maps.relu()

    network = Net()
    rough = dict(export_cams(samples(), network, precision="bfloat16"))
    assert set(network.seen) == {torch.bfloat16 if fast else torch.float32}
    for name, cam in export_cams(samples(), Net()):
        np.testing.assert_allclose(rough[name].scores, cam.scores, atol=0.05 if fast else 0)
