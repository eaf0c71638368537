"""propagate_cams: what reaches the network, what comes back, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from models.errors import ConfigurationError
from models.methods.boundary_net import boundary_links
from models.refiners.random_walk import RandomWalk
from models.structures import Cam, Links
from stages.propagate_cams import propagate_cams

SIZE = (16, 24)


@dataclass
class Walls:
    """Finds a boundary in the middle column and two objects; counts the images that it is asked about."""

    asked: int = 0

    def links(self, image: torch.Tensor) -> Links:
        self.asked += 1
        boundary = torch.zeros(1, 4, 6)
        boundary[:, :, 3] = 1
        return boundary_links(boundary, 5, stride=4)

    def displacements(self, image: torch.Tensor) -> torch.Tensor:
        across = torch.tensor([1.0, 0, -1, 1, 0, -1]).expand(4, 6)
        down = torch.tensor([2.0, 1, 0, -1])[:, None].expand(4, 6)
        return torch.stack([down, across])


def sample(scores: np.ndarray) -> tuple[str, np.ndarray, Cam]:
    classes = np.arange(1, len(scores) + 1)
    return "a", np.zeros((*SIZE, 3), np.uint8), Cam(classes, scores.astype(np.float32), SIZE)


def test_scores_spread_up_to_the_boundary() -> None:
    scores = np.zeros((1, 4, 6))
    scores[0, 1, 1] = 1
    ((name, cam),) = propagate_cams([sample(scores)], Walls(), RandomWalk("irn"))
    assert name == "a"
    assert cam.scores.shape == (1, *SIZE)
    assert cam.scores[0, :, :10].min() > 0.5
    assert not cam.scores[0, :, 16:].any()
    assert cam.instances is None


def test_an_image_without_classes_costs_no_network() -> None:
    walls = Walls()
    empty = sample(np.zeros((0, 4, 6)))
    ((_, cam),) = propagate_cams([empty], walls, RandomWalk("irn"))
    assert cam is empty[2]
    assert walls.asked == 0


def test_objects_come_with_the_cam() -> None:
    ((_, cam),) = propagate_cams([sample(np.ones((1, 4, 6)))], Walls(), RandomWalk("irn"), instances=True)
    assert cam.instances is not None
    assert cam.instances.shape == SIZE
    assert cam.instances.dtype == np.int32
    assert set(np.unique(cam.instances)) <= {0, 1, 2}


def test_objects_need_displacements() -> None:
    class OnlyLinks:
        def links(self, image: torch.Tensor) -> Links:
            raise AssertionError

    with pytest.raises(ConfigurationError, match="boundary_net"):
        list(propagate_cams([sample(np.ones((1, 4, 6)))], OnlyLinks(), RandomWalk("irn"), instances=True))
