"""Numbers and shapes at the edge, over every method, refiner and rule: a result, or an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.doors import resolve
from models.errors import DataError, TrainingError, Weak2MaskError
from models.methods import METHODS
from models.settings import TrainSettings
from models.structures import IGNORE, UNLABELLED, Batch, Localizer, Ranker, Segmenter
from pipeline.storage.checkpoints import load_init, load_method, save_checkpoint
from pipeline.storage.header import Header
from pipeline.storage.stores import CamStore
from stages.export_cams import export_cams
from stages.predict_masks import predict_masks
from stages.train import train
from tests.helpers import pages

pytestmark = pytest.mark.slow
SIDE = 64


def batch(size: int = 2, classes: int = pages.CLASSES, side: int = SIDE) -> Batch:
    generator = torch.Generator().manual_seed(0)
    seeds = torch.randint(0, min(classes, 253) + 1, (size, side, side), generator=generator)
    seeds[:, :8], seeds[:, 8:16] = UNLABELLED, IGNORE
    tags = torch.zeros(size, classes, dtype=torch.bool)
    tags[:, :2] = True
    return Batch(torch.rand(size, 3, side, side, generator=generator), tags, seeds, tuple("ab"[:size]))


def with_pixel(value: float) -> Batch:
    made = batch()
    made.image[1, :, 20:30, 20:30] = value
    return made


def without_tags() -> Batch:
    made = batch()
    return replace(made, tags=torch.zeros_like(made.tags), seeds=made.seeds.clamp(max=0))


def all_of(value: int) -> Batch:
    made = batch()
    return replace(made, seeds=torch.full_like(made.seeds, value))


def padded() -> Batch:
    """Images of 9 x 9 pixels in a crop of 64."""
    made = batch()
    image, seeds = torch.zeros_like(made.image), torch.full_like(made.seeds, IGNORE)
    image[..., :9, :9], seeds[..., :9, :9] = made.image[..., 30:39, 30:39], made.seeds[..., 30:39, 30:39]
    return replace(made, image=image, seeds=seeds)


BATCHES: dict[str, Callable[[], Batch]] = {
    "nan in an image": lambda: with_pixel(float("nan")),
    "inf in an image": lambda: with_pixel(float("inf")),
    "one small image": lambda: batch(1, side=32),
    "an image smaller than the crop": padded,
    "no class in any image": without_tags,
    "a class that never occurs": batch,
    "all void": lambda: all_of(IGNORE),
}
NEVER_FINITE = ("nan in an image", "inf in an image")


class Once:
    """One batch, again and again."""

    steps_per_epoch = 1
    accumulate = 1

    def __init__(self, made: Batch) -> None:
        self.made = made

    def batches(self, start: int, stop: int) -> Any:
        yield from (self.made for _ in range(start, stop))


@pytest.fixture(scope="module")
def fabric() -> Any:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def trained(method: Any, made: Batch, fabric: Any) -> Any:
    return train(method, Once(made), fabric, TrainSettings(steps=1, lr=1e-3, log_every=1), seed=0)


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("name", pages.TRAINED)
def test_a_step_is_finite_or_an_error_of_ours(name: str, kind: str, fabric: Any) -> None:
    method = pages.build(name, **pages.AT_ONCE.get(name, {}))
    if kind in NEVER_FINITE:
        with pytest.raises(TrainingError, match="not finite"):
            trained(method, BATCHES[kind](), fabric)
        return
    try:
        result = trained(method, BATCHES[kind](), fabric)
    except Weak2MaskError as error:
        assert str(error)  # noqa: PT017
        return
    assert np.isfinite(result.history[-1]["total"])
    assert all(value.isfinite().all() for value in method.state_dict().values())


@pytest.mark.parametrize("name", METHODS)
def test_a_thousand_classes(name: str) -> None:
    """Image tags may be of any number of classes; masks hold 253."""
    page = resolve(METHODS, name, "method")
    known, small = page.defaults(), {**pages.SMALL, **pages.NEEDED.get(name, {})}
    method = page(1000, **{key: value for key, value in small.items() if key in known}).eval()
    made = batch(classes=1000)
    with torch.inference_mode():
        if isinstance(method, Localizer):
            assert method.cams(made.image, made.tags).isfinite().all()
        if isinstance(method, Ranker):
            assert method.tag_scores(made.image).shape == (2, 1000)
        if isinstance(method, Segmenter):
            assert method.scores(made.image).shape[1] == 1001


def spoilt(name: str) -> Any:
    """A network in which one weight is nan."""
    method = pages.build(name).eval()
    with torch.no_grad():
        next(p for module in method.new_modules() for p in module.parameters()).view(-1)[0] = float("nan")
    return method


IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)


def test_weights_that_are_not_finite_are_refused_on_reading(tmp_path: Path) -> None:
    recipe = {"method": "classifier", "options": pages.SMALL}
    save_checkpoint(tmp_path / "c", spoilt("classifier"), recipe=recipe, class_names=("a", "b", "c"))
    for read in (load_method, lambda folder: load_init(pages.build("classifier"), folder)):
        with pytest.raises(DataError, match="expected finite weights, found nan or inf in 1 of"):
            read(tmp_path / "c")


def test_maps_and_masks_of_a_network_that_is_not_finite_are_errors(tmp_path: Path) -> None:
    header = Header(("i",), (IMAGE.shape[:2],), ("a", "b", "c"), "digest")
    writer = CamStore.create(tmp_path / "cams", header, [[1, 2, 3]])
    ((_, cam),) = export_cams([("i", IMAGE, np.ones(3, bool))], spoilt("classifier"), scales=(1.0,), flip=False)
    with pytest.raises(DataError, match="image 'i': expected finite scores"):
        writer.write(0, [cam])
    with pytest.raises(DataError, match="Image 'i': expected finite probabilities"):
        list(predict_masks([("i", IMAGE, None)], spoilt("segmenter")))
