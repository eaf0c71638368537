"""Walks over pixel graphs: small ones by hand, larger ones against the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.doors import resolve
from models.errors import ConfigurationError
from models.methods import METHODS
from models.methods.boundary_net import boundary_links
from models.ops.pixel_pairs import fitting_radius, pair_offsets, pair_paths
from models.ops.random_walk import DenseLinks, PairLinks
from models.refiners.random_walk import PRESETS, RandomWalk
from models.structures import Cam, Propagator

NETWORKS = ("affinity_net", "boundary_net", "classifier")


def wall(width: int = 12, at: int = 6) -> torch.Tensor:
    """A boundary map [1,h,w] with one certain wall."""
    boundary = torch.zeros(1, 8, width)
    boundary[:, :, at] = 1
    return boundary


def cam(scores: np.ndarray, size: tuple[int, int] | None = None) -> Cam:
    return Cam(np.arange(1, len(scores) + 1), scores.astype(np.float32), size or scores.shape[1:])


def test_a_step_between_two_cells_by_hand() -> None:
    """Affinity 1/2: columns (1, 1/2)/1.5 and (1/2, 1)/1.5, so (3, 0) T = (2, 1)."""
    links = PairLinks(np.full((1, 1, 1), 0.5), ((0, 1),), (1, 2), left=0)
    assert np.allclose(links.walk(np.array([[[3.0, 0.0]]]), 1, 1), [[[2, 1]]])
    assert np.allclose(links.walk(np.array([[[3.0, 0.0]]]), 2, 1), [[[2.4, 0.6]]])


@pytest.mark.parametrize("size", [(9, 11), (5, 9), (4, 12), (12, 4), (6, 6)])
def test_steps_equal_the_powers_of_the_dense_matrix(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    radius = fitting_radius(size, 5)
    offsets = pair_offsets(radius)
    shape = (len(offsets), size[0] - radius + 1, size[1] - 2 * radius + 2)
    links = PairLinks(rng.random(shape), offsets, size, radius - 1)
    dense = links.matrix().toarray()
    assert np.allclose(dense, dense.T)
    assert np.allclose(dense.diagonal(), 1)
    values = rng.random((2, *size))
    transition = dense**3 / (dense**3).sum(0)
    expected = values.reshape(2, -1) @ np.linalg.matrix_power(transition, 8)
    assert np.allclose(links.walk(values, 3, 8).reshape(2, -1), expected)
    assert np.allclose(DenseLinks(dense, size).walk(values, 3, 8).reshape(2, -1), expected)


def test_scores_stay_behind_a_boundary() -> None:
    scores = np.zeros((1, 8, 12))
    scores[0, 4, 2] = 1
    walked = RandomWalk("irn")(boundary_links(wall(), 5), cam(scores)).scores[0]
    assert walked[:, :6].min() > 0.5
    assert walked[:, 6:].max() == 0


def test_a_boundary_cell_gives_nothing() -> None:
    scores = np.zeros((1, 8, 12))
    scores[0, :, 6] = 1
    assert not RandomWalk("irn")(boundary_links(wall(), 5), cam(scores)).scores.any()


def test_without_boundary_scores_spread_evenly() -> None:
    scores = np.zeros((1, 8, 12))
    scores[0, 4, 2] = 1
    walked = RandomWalk("irn")(boundary_links(torch.zeros(1, 8, 12), 5), cam(scores)).scores[0]
    assert walked.max() == 1
    assert walked.std() < 0.4


@pytest.mark.parametrize("preset", PRESETS)
def test_neutral_inputs(preset: str) -> None:
    links = boundary_links(torch.zeros(1, 3, 4), 5, stride=4)
    empty = cam(np.zeros((0, 3, 4)), (12, 16))
    assert RandomWalk(preset)(links, empty) is empty
    silent = RandomWalk(preset)(links, cam(np.zeros((2, 3, 4)), (12, 16)))
    assert silent.scores.shape == (2, 12, 16)
    assert not silent.scores.any()


@pytest.mark.parametrize("preset", PRESETS)
def test_scores_stay_scores(preset: str) -> None:
    rng = np.random.default_rng(1)
    links = boundary_links(torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(0)), 5, stride=4)
    result = RandomWalk(preset)(links, cam(rng.random((2, 9, 11)), (18, 21)))
    assert result.scores.dtype == np.float32
    assert result.scores.shape == (2, 18, 21)
    assert np.isfinite(result.scores).all()
    assert result.scores.min() >= 0
    assert result.scores.max() <= 1
    if PRESETS[preset].alpha:
        assert (result.scores.sum(0) <= 1 + 1e-6).all()


@pytest.mark.parametrize("options", [{"preset": "pza"}, {"beta": 0}, {"log_t": 13}, {"alpha": -1}, {"cam_power": 0}])
def test_numbers_that_make_no_walk(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        RandomWalk(**options)  # type: ignore[arg-type]


def test_paths_hold_the_cells_between() -> None:
    paths = {path[0]: set(path) for path in pair_paths(5)}
    assert paths[0, 3] == {(0, 0), (0, 1), (0, 2), (0, 3)}
    assert paths[1, 1] == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert set(paths) == set(pair_offsets(5))
    assert len(pair_paths(10)) == 152


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("size", [(50, 70), (17, 90), (9, 9), (37, 333)])
def test_a_network_links_every_cell_of_any_image(name: str, backbone: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = resolve(METHODS, name, "method")(2, backbone=backbone, width=0.25).eval()
    assert isinstance(network, Propagator)
    with torch.no_grad():
        links = network.links(torch.rand(1, 3, *size))
    grid = tuple(-(-length // links.stride) for length in size)
    assert links.grid == grid
    scores = np.random.default_rng(0).random((1, 6, 7))
    result = RandomWalk("seam", log_t=3)(links, cam(scores, size))
    assert result.scores.shape == (1, *size)
    assert np.isfinite(result.scores).all()
    ones = links.walk(np.ones((1, *grid)), 1, 3)
    assert ones.max() <= 1 + 1e-9


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_mean_displacement_is_that_of_the_last_epoch(accumulate: int) -> None:
    from models.structures import Batch, StepContext

    torch.manual_seed(0)
    network = resolve(METHODS, "boundary_net", "method")(2, backbone="resnet18", width=0.25).train()
    means = []
    for step in range(4):
        context = StepContext(step, 4, 2)
        for _ in range(accumulate):
            batch = Batch(torch.rand(2, 3, 64, 64), torch.ones(2, 2).bool(), torch.randint(0, 3, (2, 64, 64)))
            outputs = network(batch)
            network.losses(outputs, batch, context)
            network.remember(outputs, batch)
            means.append(outputs["displacement"].detach().mean((0, 2, 3)))
        network.after_step(context)
    last = torch.stack(means[2 * accumulate :])
    assert network.averaged == len(last)
    torch.testing.assert_close(network.displacement.mean, last.mean(0), atol=1e-6, rtol=0)


def test_the_mean_displacement_is_that_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.structures import Batch, StepContext

    torch.manual_seed(0)
    network = resolve(METHODS, "boundary_net", "method")(2, backbone="resnet18", width=0.25).train()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: values.add_(1.0))  # the other says 1
    batch = Batch(torch.rand(1, 3, 64, 64), torch.ones(1, 2).bool(), torch.zeros(1, 64, 64, dtype=torch.long))
    outputs = network(batch)
    network.remember(outputs, batch)
    network.after_step(StepContext(0, 1, 1))
    torch.testing.assert_close(network.displacement.mean, (outputs["displacement"].detach().mean((0, 2, 3)) + 1) / 2)


def test_posteriors_enter_at_their_peaks_with_what_they_leave_as_background() -> None:
    links = DenseLinks(np.eye(3), (1, 3))
    given = cam(np.array([[[0.2, 0.1, 0.0]], [[0.0, 0.4, 0.0]]]))
    walk = RandomWalk("spml_softmax")
    np.testing.assert_allclose(walk.entering(given, links), [[[0.8, 0.5, 1]], [[1, 0.5, 0]], [[0, 1, 0]]], rtol=1e-6)
    np.testing.assert_allclose(walk(links, given).scores, [[[1 / 1.8, 0.25, 0]], [[0, 0.5, 0]]], rtol=1e-6)
    with pytest.raises(ConfigurationError, match="with peaked expected alpha 0"):
        RandomWalk("spml", peaked=True)
