"""Numbers and shapes at the edge, over all that makes CAMs or labels of CAMs: a result, or an error of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from models.doors import resolve
from models.errors import DataError, Weak2MaskError
from models.ops.region_bank import BankOptions
from models.refiners import ALIGNERS, REFINERS, SPREADS
from models.rules import RULES
from models.structures import IGNORE, UNLABELLED, Cam, Proposals
from stages.align_cams import align_cams
from stages.classify_proposals import Bank, bank_regions, classify_proposals, joined
from stages.export_cams import export_cams
from stages.make_pseudo_masks import make_pseudo_masks
from tests.helpers import pages

pytestmark = pytest.mark.slow
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)


def cam_of(values: Any, classes: tuple[int, ...] = (1, 3), size: tuple[int, int] = (40, 56)) -> Cam:
    scores = np.broadcast_to(np.asarray(values, np.float32), (len(classes), -(-size[0] // 4), -(-size[1] // 4)))
    return Cam(np.array(classes, np.int64), scores.copy(), size)


CAMS = {
    "zero everywhere": cam_of(0),
    "one everywhere": cam_of(1),
    "half everywhere": cam_of(0.5),
    "least numbers": cam_of(1e-38),
    "one class": cam_of(0.7, (2,)),
    "fifty classes": cam_of(np.linspace(0, 1, 50)[:, None, None], tuple(range(1, 51))),
    "one pixel": cam_of(0.7, size=(1, 1)),
    "one row": cam_of(0.7, size=(1, 56)),
}


def image_of(cam: Cam, kind: str) -> Any:
    return (
        np.ascontiguousarray(IMAGE[: cam.size[0], : cam.size[1]])
        if kind == "noise"
        else np.zeros((*cam.size, 3), np.uint8)
    )


@pytest.mark.parametrize("image", ["noise", "black"])
@pytest.mark.parametrize("kind", CAMS)
@pytest.mark.parametrize("name", REFINERS)
def test_a_refiner_gives_scores_between_0_and_1(name: str, kind: str, image: str) -> None:
    cam = CAMS[kind]
    refined = resolve(REFINERS, name, "refiner")()(image_of(cam, image), cam)
    _require_scores(refined, cam)


@pytest.mark.parametrize("kind", ["everything", "one pixel", "none", "twice the same"])
@pytest.mark.parametrize("cam", CAMS)
@pytest.mark.parametrize("name", ALIGNERS)
def test_an_aligner_gives_scores_between_0_and_1(name: str, cam: str, kind: str) -> None:
    given = CAMS[cam]
    ((_, aligned),) = align_cams([("i", given, proposals_of(kind, given.size))], resolve(ALIGNERS, name, "aligner")())
    _require_scores(aligned, given)


def proposals_of(kind: str, size: tuple[int, int]) -> Proposals:
    masks = np.ones(({"none": 0, "twice the same": 2}.get(kind, 1), *size), bool)
    if kind == "one pixel":
        masks[:, 1:], masks[:, :, 1:] = False, False
    return Proposals(masks, np.zeros(len(masks), np.float32))


class Even:
    """A graph in which every cell hangs together with every other alike."""

    def __init__(self, grid: tuple[int, int], stride: int) -> None:
        self.grid, self.stride = grid, stride

    def walk(self, values: Any, beta: float, steps: int) -> Any:
        return np.broadcast_to(values.mean((1, 2), keepdims=True), values.shape).astype(np.float64)


FEATURES: Mapping[str, Any] = {"zero": torch.zeros, "alike": torch.ones, "noise": torch.rand}


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("cam", CAMS)
@pytest.mark.parametrize("name", SPREADS)
def test_what_spreads_gives_scores_between_0_and_1(name: str, cam: str, kind: str) -> None:
    given = CAMS[cam]
    stride = 4
    grid = (-(-given.size[0] // stride), -(-given.size[1] // stride))
    torch.manual_seed(0)
    features = {layer: FEATURES[kind](1, 5, *grid) for layer in ("layer3", "layer4")}
    spread = resolve(SPREADS, name, "spread")()
    _require_scores(spread(Even(grid, stride) if name == "random_walk" else features, given), given)


def _require_scores(found: Cam, given: Cam) -> None:
    assert found.classes.tolist() == given.classes.tolist()
    assert found.size == given.size
    assert 0 <= found.scores.min() <= found.scores.max() <= 1


def test_proposals_of_features_that_are_all_zero_get_a_class() -> None:
    class Zero(torch.nn.Module):
        def features(self, image: Any) -> Any:
            return {"layer4": torch.zeros(1, 5, 3, 4)}

    network: Any = Zero()
    options = BankOptions(erosion=0, least_area=1)
    seeds = np.full((40, 56), 2, np.uint8)
    bank = joined([bank_regions([("i", IMAGE, seeds)], network, options)], options)
    for kind in ("everything", "one pixel", "none", "twice the same"):
        ((_, mask),) = classify_proposals([("i", IMAGE, proposals_of(kind, (40, 56)))], network, bank, options)
        assert set(np.unique(mask)) <= {0, 2}


@pytest.mark.parametrize("value", [UNLABELLED, IGNORE])
def test_labels_that_say_nothing_fill_no_bank(value: int) -> None:
    seeds, options = np.full((40, 56), value, np.uint8), BankOptions()
    bank = bank_regions([("i", IMAGE, seeds)], pages.build("classifier").eval(), options)  # type: ignore[arg-type]
    assert isinstance(bank, Bank)
    with pytest.raises(DataError, match="bank of regions is empty"):
        joined([bank], options)


@pytest.mark.parametrize("image", ["noise", "black"])
@pytest.mark.parametrize("kind", CAMS)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_gives_classes_of_the_cam(name: str, kind: str, image: str) -> None:
    cam, tags = CAMS[kind], np.ones(60, bool)
    seeds = resolve(RULES, name, "rule")()(cam, image_of(cam, image), tags)
    assert seeds.shape == cam.size
    assert set(np.unique(seeds)) <= {0, *cam.classes.tolist(), UNLABELLED, IGNORE}


def test_more_classes_than_a_mask_holds_are_refused() -> None:
    cam = cam_of(0.9, (300,))
    rule = resolve(RULES, "constant", "rule")()
    with pytest.raises(Weak2MaskError, match=r"expected at most 253 classes.*found 400"):
        list(make_pseudo_masks([("i", lambda: IMAGE, cam, np.ones(400, bool))], rule))


def test_maps_that_are_negative_everywhere_say_background() -> None:
    """A localiser whose maps are all negative gives CAMs of zeros."""

    class Negative(torch.nn.Module):
        stride = 16

        def cams(self, image: Any, tags: Any) -> Any:
            return -torch.ones(len(image), tags.shape[1], 3, 4)

    ((_, cam),) = export_cams([("i", IMAGE, np.ones(3, bool))], Negative(), scales=(1.0,))  # type: ignore[arg-type]
    assert not cam.scores.any()
    assert not resolve(RULES, "constant", "rule")(threshold=0.3)(cam, None, np.ones(3, bool)).any()
