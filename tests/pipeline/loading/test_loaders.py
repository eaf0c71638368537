"""Augmentation and batches: what moves together, and what randomness depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.backbones.base import IMAGENET_MEAN
from models.errors import ConfigurationError, DataError
from models.structures import Batch, Image, Supervision
from pipeline.loading.loader_options import LoaderOptions, fitting
from pipeline.loading.loaders import TrainLoader, TrainSample, augment, epoch_order
from pipeline.loading.transforms import (
    Window,
    blur,
    crop_image,
    crop_supervision,
    draw_window,
    jitter_colour,
    shift_hsv,
    without_colour,
)

SIZE = (40, 32)
OPTIONS = LoaderOptions(batch_size=4, crop=24, scale=(0.5, 1.5), num_workers=0)


@dataclass
class Made:
    """Ten images whose red channel is their seeds; the image called ``broken`` cannot be read."""

    count: int = 10
    broken: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(f"image_{number}" for number in range(self.count))

    def seeds(self, id: str) -> npt.NDArray[np.uint8]:
        labels = np.zeros(SIZE, np.uint8)
        labels[8:28, 4 : 8 + 2 * int(id[6:])] = 200
        return labels

    def image(self, id: str) -> Image:
        if id == self.broken:
            raise DataError(f"{id}.jpg is gone")
        return np.repeat(self.seeds(id)[..., None], 3, axis=2)

    def __getitem__(self, id: str) -> Supervision:
        tags = np.zeros(2, bool)
        tags[int(id[6:]) % 2] = True
        return Supervision(tags, self.seeds(id))


@dataclass
class Processes:
    world_size: int = 1
    global_rank: int = 0


def loader(options: LoaderOptions = OPTIONS, accumulate: int = 1, rank: int = 0, world: int = 1) -> TrainLoader:
    return TrainLoader(Made(), Made(), options, Processes(world, rank), accumulate, seed=3)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return [batch.ids for batch in first] == [batch.ids for batch in second] and all(
        torch.equal(a.image, b.image) and torch.equal(a.seeds, b.seeds) and torch.equal(a.tags, b.tags)
        for a, b in zip(first, second, strict=True)
    )


def test_a_batch_is_what_structures_promises() -> None:
    batch = next(loader().batches(0, 1))
    assert (batch.image.dtype, tuple(batch.image.shape)) == (torch.float32, (4, 3, 24, 24))
    assert (batch.seeds.dtype, tuple(batch.seeds.shape)) == (torch.int64, (4, 24, 24))
    assert (batch.tags.dtype, tuple(batch.tags.shape)) == (torch.bool, (4, 2))
    assert batch.image.min() >= 0
    assert batch.image.max() <= 1


def test_image_and_seeds_stay_on_each_other() -> None:
    """The images are pictures of their seeds, so away from edges they must agree after any augmentation."""
    for batch in loader(replace(OPTIONS, crop=48)).batches(0, 10):
        for image, seeds in zip(batch.image, batch.seeds, strict=True):
            inside = torch.nn.functional.max_pool2d((seeds != 200).float()[None], 7, 1, 3)[0] == 0
            outside = torch.nn.functional.max_pool2d((seeds != 0).float()[None], 7, 1, 3)[0] == 0
            assert (image[0][inside] > 0.7).all()
            assert (image[0][outside] < 0.08).all()


def test_padding_is_the_mean_colour_and_void() -> None:
    for batch in loader(replace(OPTIONS, crop=64, scale=(0.5, 0.5))).batches(0, 2):
        padded = batch.seeds == 255
        assert padded.sum() == 4 * (64 * 64 - 20 * 16)
        for channel, mean in enumerate(IMAGENET_MEAN):
            assert bool(torch.all(batch.image[:, channel][padded] == torch.tensor(mean)))


def test_a_crop_without_resizing_is_a_slice() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(*SIZE, 3), dtype=np.uint8)
    seeds = rng.integers(3, size=SIZE, dtype=np.uint8)
    window = Window(16, SIZE, SIZE, corner=(5, 7), seen=(16, 16), offset=(0, 0), flip=True)
    assert np.array_equal(crop_image(image, window), image[5:21, 7:23])
    moved = crop_supervision(Supervision(np.ones(1, bool), seeds, segments=seeds.astype(np.int32)), window)
    assert np.array_equal(moved.seeds, seeds[5:21, 7:23][:, ::-1])
    assert moved.segments is not None
    assert np.array_equal(moved.segments, moved.seeds)


def test_boxes_move_with_the_pixels() -> None:
    seeds = np.zeros(SIZE, np.uint8)
    seeds[10:20, 4:12] = 1
    boxes = np.array([[4, 10, 12, 20], [0, 38, 2, 40]], np.float32)
    given = Supervision(np.ones(2, bool), seeds, boxes, np.array([1, 2]))
    for flip in (False, True):
        window = Window(60, SIZE, (80, 64), corner=(10, 2), seen=(60, 60), offset=(0, 0), flip=flip)
        moved = crop_supervision(given, window)
        rows, columns = np.nonzero(moved.seeds == 1)
        assert moved.boxes is not None
        assert moved.box_classes is not None
        assert moved.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
        assert moved.box_classes.tolist() == [1]


def test_tags_are_those_of_the_image_even_where_the_crop_misses_the_object() -> None:
    batches = list(loader(replace(OPTIONS, crop=4, scale=(1.0, 1.0))).batches(0, 6))
    assert any((seeds != 200).all() for batch in batches for seeds in batch.seeds)
    for batch in batches:
        for id, tags in zip(batch.ids, batch.tags.tolist(), strict=True):
            assert tags == Made()[id].tags.tolist()


def test_the_long_side_is_drawn_from_its_range() -> None:
    options = replace(OPTIONS, crop=64, long_side=(20, 30))
    sides = [int((seeds != 255).any(1).sum()) for batch in loader(options).batches(0, 10) for seeds in batch.seeds]
    assert min(sides) >= 20
    assert max(sides) <= 30
    assert len(set(sides)) > 3


def test_a_square_fills_the_crop_whatever_the_shape() -> None:
    options = replace(OPTIONS, crop=24, square=32, scale=(1.0, 1.0))
    for batch in loader(options).batches(0, 4):
        assert batch.image.shape[2:] == (24, 24)
        assert (batch.seeds != 255).any((1, 2)).all()
    for wrong in ({"square": -1}, {"square": 8, "long_side": (8, 9)}, {"square": 8, "scale": (0.5, 1.0)}):
        with pytest.raises(ConfigurationError, match=r"loader\.square"):
            LoaderOptions(**wrong)  # type: ignore[arg-type]


def test_an_epoch_is_a_permutation_and_the_next_one_is_another() -> None:
    assert loader().steps_per_epoch == 2
    ids = [id for batch in loader().batches(0, 4) for id in batch.ids]
    assert len(set(ids[:8])) == len(set(ids[8:])) == 8
    assert ids[:8] != ids[8:]
    assert sorted(epoch_order(3, 0, 10)) == list(range(10))


def test_so_many_views_come_again_under_every_seed() -> None:
    options = replace(OPTIONS, views=2)
    dataset = loader(options).dataset

    def view(epoch: int) -> npt.NDArray[np.float32]:
        sample = dataset[epoch, 1]
        assert isinstance(sample, TrainSample)
        return sample.image

    assert np.array_equal(view(0), view(2))
    assert np.array_equal(view(1), view(3))
    assert not np.array_equal(view(0), view(1))
    dataset.seed = 7
    assert np.array_equal(view(3), view(1))
    dataset.options = OPTIONS
    assert not np.array_equal(view(0), view(2))


@pytest.mark.parametrize("cache", [False, True])
def test_batches_do_not_depend_on_where_one_starts_or_who_loads(cache: bool) -> None:
    options = replace(OPTIONS, brightness=0.3, hue=0.1)
    whole = list(loader(options).batches(0, 6))
    assert same(whole, list(loader(replace(options, num_workers=2, cache=cache)).batches(0, 6)))
    assert same(whole[3:], list(loader(replace(options, cache=cache)).batches(3, 6)))
    assert not torch.equal(whole[0].image, whole[2].image)
    assert list(loader().batches(6, 6)) == []


def test_parts_and_processes_share_the_batch_of_a_step() -> None:
    whole = next(loader().batches(1, 2))
    parts = [batch for rank in range(2) for batch in loader(accumulate=2, rank=rank, world=2).batches(1, 2)]
    order = [parts[0], parts[2], parts[1], parts[3]]  # both ranks' first parts come before their second
    assert torch.equal(whole.image, torch.cat([batch.image for batch in order]))
    assert whole.ids == tuple(id for batch in order for id in batch.ids)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_image_keeps_its_message(num_workers: int) -> None:
    broken = TrainLoader(Made(broken="image_4"), Made(), replace(OPTIONS, num_workers=num_workers), Processes())
    with pytest.raises(DataError, match=r"^image_4\.jpg is gone$"):
        list(broken.batches(0, 4))


@pytest.mark.parametrize("name", ["cpu", "cuda:0"])
def test_batches_are_pinned_for_a_gpu_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def nothing(dataset: object, **options: object) -> list[Batch]:
        asked.update(options)
        return []

    monkeypatch.setattr("pipeline.compute.runtime.device", lambda: name)
    monkeypatch.setattr("pipeline.loading.loaders.DataLoader", nothing)
    assert not [*loader().batches(0, 1)]
    assert asked["pin_memory"] == (name != "cpu")


def test_accumulated_parts_where_images_are_left_out() -> None:
    """Of ten images seven have a label: one step of four an epoch, in two parts, whose images are all labelled."""
    source = TrainLoader(Made(), Made(7), OPTIONS, Processes(), accumulate=2, seed=3)
    assert source.steps_per_epoch == 1
    batches = [*source.batches(0, 3)]
    assert [len(batch.ids) for batch in batches] == [2] * 6
    assert {id for batch in batches for id in batch.ids} <= set(Made(7).ids)


@pytest.mark.parametrize(
    ("batch", "accumulate", "images", "fit"),
    [(16, 4, 99, (16, 4)), (16, 4, 10, (8, 2)), (16, 4, 3, (3, 1)), (16, 1, 10, (10, 1)), (3, 3, 2, (2, 2))],
)
def test_the_largest_batch_that_images_fill(batch: int, accumulate: int, images: int, fit: tuple[int, int]) -> None:
    assert fitting(batch, accumulate, images) == fit


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="multiple of 3"):
        loader(accumulate=3)
    with pytest.raises(ConfigurationError, match=r"more than the 10 images.*Remedy: batch_size 10, or more images"):
        loader(replace(OPTIONS, batch_size=12))
    with pytest.raises(ConfigurationError, match="Remedy: batch_size 9, or more images"):
        loader(replace(OPTIONS, batch_size=12), accumulate=3)
    with pytest.raises(ConfigurationError, match="Remedy: fewer than 12 parts"):
        loader(replace(OPTIONS, batch_size=12), accumulate=12)
    with pytest.raises(ConfigurationError, match=r"loader\.scale"):
        LoaderOptions(scale=(1.5, 0.5))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", (0.0, 1.0)),
        ("scale", (0.5, float("inf"))),
        ("scale", (float("nan"), 1.0)),
        ("long_side", (0, 640)),
        ("long_side", (-1, 640)),
        ("mirrored_classes", ((-1, 2),)),
        ("mirrored_classes", ((0, 2),)),
        ("mirrored_classes", ((1, 1),)),
    ],
)
def test_ranges_and_pairs_that_no_image_could_take_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"loader\.{name}: expected"):
        LoaderOptions(**{name: value})  # type: ignore[arg-type]


def test_mirrored_classes_are_checked_before_a_loading_process_is_started() -> None:
    with pytest.raises(ConfigurationError, match=r"mirrored_classes: expected classes 1\.\.2, found \[\[1, 7\]\]"):
        loader(replace(OPTIONS, mirrored_classes=((1, 7),)))
    assert len(next(loader(replace(OPTIONS, mirrored_classes=((1, 2),))).batches(0, 1)).ids) == 4


def test_colour_jitter_stays_in_its_bounds() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    levels = [int(jitter_colour(grey, 0.3, 0, 0, 0, np.random.default_rng(n))[0, 0, 0]) for n in range(40)]
    assert 70 <= min(levels) < 85
    assert 115 < max(levels) <= 130
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    turned = jitter_colour(red, 0, 0, 0, 0.1, np.random.default_rng(0))
    assert turned[0, 0, 0] == 255
    assert turned[0, 0].tolist() != [255, 0, 0]


def test_hue_saturation_and_value_move_by_whole_steps() -> None:
    red = np.full((4, 4, 3), (200, 50, 50), np.uint8)
    values = [int(shift_hsv(red, 10, np.random.default_rng(n)).max()) for n in range(60)]
    assert 189 <= min(values) < 193
    assert 207 < max(values) <= 211
    assert (shift_hsv(red, 0, np.random.default_rng(0)) == red).all()


def test_grey_and_blurred_images() -> None:
    image = np.zeros((9, 9, 3), np.uint8)
    image[4, 4] = 250, 100, 0
    assert (without_colour(image)[4, 4] == round(0.299 * 250 + 0.587 * 100)).all()
    assert (blur(image, 0.1) == image).all()
    wide = blur(image, 5.0)
    assert 0 < wide[4, 4, 0] < 25, "spread over 5x5 pixels"
    assert (wide[1] == 0).all()


def test_shares_of_the_images_are_changed() -> None:
    made, options = Made(), replace(OPTIONS, scale=(1.0, 1.0), flip=False)
    coloured = np.full((*SIZE, 3), (200, 90, 30), np.uint8)

    def drawn(changed: LoaderOptions) -> npt.NDArray[np.float32]:
        draws = range(40)
        views = [augment(coloured, made["image_1"], changed, np.random.default_rng(n))[0][:, 0, 0] for n in draws]
        return np.stack(views)

    plain = drawn(options)
    assert (drawn(replace(options, hue=0.2, jittered=0.0)) == plain).all()
    turned = (drawn(replace(options, hue=0.2, jittered=0.5)) != plain).any(1)
    assert 8 <= turned.sum() <= 32
    grey = drawn(replace(options, grey=0.3))
    assert 4 <= (grey[:, 0] == grey[:, 1]).sum() <= 22
    with pytest.raises(ConfigurationError, match=r"loader\.blurred"):
        LoaderOptions(blurred=1.5)
    with pytest.raises(ConfigurationError, match=r"loader\.hsv"):
        LoaderOptions(hsv=-1)


def test_every_window_lies_inside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        resized = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
        window = draw_window(SIZE, resized, 24, False, rng)
        for axis in (0, 1):
            assert 0 <= window.corner[axis] <= window.corner[axis] + window.seen[axis] <= resized[axis]
            assert 0 <= window.offset[axis] <= window.offset[axis] + window.seen[axis] <= 24
        part, _ = augment(np.zeros((*SIZE, 3), np.uint8), Made()["image_1"], OPTIONS, rng)
        assert part.shape == (3, 24, 24)
