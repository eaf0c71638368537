"""Optimal transport between cells and classes, and the second round that it gives a CAM."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import ConfigurationError, DataError
from models.ops.heat_maps import cell_majority, look_alikes, prototype_correlation
from models.ops.transport import transport_plan
from models.refiners.transport import Transport
from models.structures import Cam

SIZE = (24, 36)


def halves() -> dict[str, torch.Tensor]:
    """Features of an image whose left is of one kind, whose right of another: layer4 [1,2,4,6], layer3 [1,2,8,12]."""
    layer = torch.zeros(1, 2, 4, 6)
    layer[0, 0, :, :3] = layer[0, 1, :, 3:] = 1
    return {"layer4": layer, "layer3": layer.repeat_interleave(2, 2).repeat_interleave(2, 3)}


def seeds(*classes: int) -> Cam:
    """A seed for each class: of the first in the left half, of the second in the right one."""
    scores = np.zeros((len(classes), *SIZE), np.float32)
    for k in range(len(classes)):
        scores[k, 6:18, 6 + 18 * k : 12 + 18 * k] = 0.9
    return Cam(np.array(classes), scores, SIZE)


def test_every_class_receives_the_same_of_even_cells() -> None:
    similarity = torch.rand(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = torch.exp((similarity - 1) / 0.1)
    plan, rounds = transport_plan(similarity)
    assert rounds < 100
    assert plan.min() == 0
    assert plan.max() == 1
    assert (plan.argmax(1) == kernel.argmax(1)).double().mean() > 0.8


def test_features_carry_a_seed_over_what_is_like_it() -> None:
    cam = Transport(threshold=0.5)(halves(), seeds(3, 7))
    assert cam.classes.tolist() == [3, 7]
    assert cam.scores.shape == (2, 4, 6)
    assert np.isfinite(cam.scores).all()
    assert cam.scores.min() >= 0
    assert cam.scores.sum(0).max() <= 1 + 1e-6
    assert cam.scores[0, :, :3].min() > cam.scores[0, :, 3:].max()
    assert cam.scores[1, :, 3:].min() > cam.scores[1, :, :3].max()


def test_an_image_without_seeds_is_background() -> None:
    nothing = Transport(threshold=0.95)(halves(), seeds(3, 7))
    assert not nothing.scores.any()
    everything = Transport()(halves(), Cam(np.array([3]), np.ones((1, *SIZE), np.float32), SIZE))
    assert (everything.scores == 1).all()


def test_a_class_smaller_than_a_cell_is_nowhere() -> None:
    cam = seeds(3, 7)
    cam.scores[1] = 0
    cam.scores[1, 0, 30] = 1
    spread = Transport(threshold=0.5)(halves(), cam)
    assert spread.scores[0].any()
    assert not spread.scores[1].any()


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no layer 'layer5'\. Did you mean 'layer4'"):
        Transport(layer="layer5")(halves(), seeds(3))
    for eps in (0, 0.01):
        with pytest.raises(ConfigurationError, match=r"transport\.eps: expected a number of 0\.02 or more"):
            Transport(eps=eps)


def test_a_plan_that_is_not_finite_is_refused() -> None:
    """exp(-1 / .005) is 0 in float32: a cell that is like no class gives to none."""
    similarity = torch.tensor([[0.0, 0.0], [1.0, 0.5], [0.5, 1.0]])
    assert transport_plan(similarity, 0.02)[0].isfinite().all()
    with pytest.raises(DataError, match=r"found one that is not: with eps 0\.005"):
        transport_plan(similarity, 0.005)


def test_the_most_frequent_label_of_a_cell_and_the_smallest_of_several() -> None:
    labels = torch.tensor([[1, 1, 2, 0], [1, 255, 0, 2]])
    assert cell_majority(labels, (1, 2), (1, 2)).tolist() == [[1, 0]]


def test_alike_classes_are_named_once() -> None:
    prototypes = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0.1, 0], [0, 1, 0.1]])
    groups = look_alikes(prototype_correlation(prototypes))
    assert [group.tolist() for group in groups] == [[0, 2], [1, 3]]
