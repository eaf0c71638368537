"""Random walks beside the published dense form: affinities, transition matrix, its power by squaring, one product.

Both sides begin with what the network gives, so both pay for the affinities of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.frame import Case, Results
from models.methods.boundary_net import boundary_links
from models.ops.affinity import feature_affinity
from models.ops.pixel_pairs import pair_offsets, pair_paths
from models.ops.random_walk import PairLinks

RADIUS = 5


@dataclass(frozen=True)
class Inputs:
    """What the network gives ([1,h,w] boundaries, or [1,K,h,w] features), and CAMs float64 [C,h,w]."""

    given: Tensor
    cams: np.ndarray
    log_t: int


def boundaries(height: int, width: int, classes: int, log_t: int) -> Inputs:
    """A random map, mostly without boundaries."""
    boundary = torch.rand(1, height, width, generator=torch.Generator().manual_seed(0)) ** 4
    return Inputs(boundary, np.random.default_rng(0).random((classes, height, width)), log_t)


def features(height: int, width: int, classes: int, channels: int, log_t: int) -> Inputs:
    """Random features."""
    maps = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0)) * 3
    return Inputs(maps, np.random.default_rng(0).random((classes, height, width)), log_t)


def irn(x: Inputs) -> Results:
    """Affinities as diagonals, and 2^log_t products of a banded matrix with a vector for each class."""
    return {"walked": boundary_links(x.given, RADIUS).walk(x.cams, 10, 2**x.log_t)}


def irn_dense(x: Inputs) -> Results:
    """A = 1 - largest boundary on the way between two cells; T = A^10 with columns of sum 1, squared log_t times.

    Source: docs/methods/random_walk.md, docs/methods/boundary_net.md, (1).
    """
    boundary = x.given[0]
    height, width = boundary.shape
    matrix = torch.eye(height * width)
    cells = torch.arange(height * width).view(height, width)
    for path in pair_paths(RADIUS):
        dy, dx = path[0]
        rows, columns = slice(0, height - dy), slice(max(0, -dx), width - max(0, dx))
        if dy >= height or abs(dx) >= width:
            continue
        on_the_way = [boundary[_moved(rows, y), _moved(columns, x_)] for y, x_ in path]
        affinity = 1 - torch.stack(on_the_way).amax(0).flatten()
        sources, targets = cells[rows, columns].flatten(), cells[_moved(rows, dy), _moved(columns, dx)].flatten()
        matrix[sources, targets] = matrix[targets, sources] = affinity
    return {"walked": dense_walk(matrix, x.cams * (1 - boundary.numpy()), 10, x.log_t)}


def psa(x: Inputs) -> Results:
    """Affinities pair by pair, and 2^log_t products of a banded matrix with a vector for each class."""
    offsets, grid = pair_offsets(RADIUS), (x.given.shape[2], x.given.shape[3])
    affinity = feature_affinity(x.given, offsets, RADIUS)[0].numpy()
    return {"walked": PairLinks(affinity, offsets, grid, RADIUS - 1).walk(x.cams, 8, 2**x.log_t)}


def psa_dense(x: Inputs) -> Results:
    """A = exp(-mean |f_i - f_j|) of all pairs at once; T = A^8 with columns of sum 1, squared log_t times.

    Source: docs/methods/random_walk.md, docs/methods/affinity_net.md; jiwoon-ahn/psa@9493e59:network/resnet38_aff.py.
    """
    _, channels, height, width = x.given.shape
    margin = RADIUS - 1
    cells = torch.arange(height * width).view(height, width)
    sources = cells[: height - margin, margin : width - margin].flatten()
    offsets = torch.tensor(pair_offsets(RADIUS))
    targets = sources[None] + (offsets[:, 0] * width + offsets[:, 1])[:, None]
    flat = x.given.view(channels, -1)
    apart = flat[:, targets.flatten()].view(channels, *targets.shape) - flat[:, sources].unsqueeze(1)
    affinity = torch.exp(-apart.abs().mean(0)).flatten()
    matrix = torch.eye(height * width)
    starts, ends = sources.expand_as(targets).flatten(), targets.flatten()
    matrix[starts, ends] = matrix[ends, starts] = affinity
    return {"walked": dense_walk(matrix, x.cams, 8, x.log_t)}


def dense_walk(matrix: Tensor, values: np.ndarray, beta: float, log_t: int) -> np.ndarray:
    """The published form, float32: power, normalise, square, one product; values [C,h,w]."""
    transition = matrix**beta
    transition = transition / transition.sum(0)
    for _ in range(log_t):
        transition = transition @ transition
    return (torch.from_numpy(values).float().flatten(1) @ transition).view(values.shape).numpy()


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


CASES = {
    "irn": Case(
        "IRN's random walk",
        boundaries,
        irn,
        irn_dense,
        size={"height": 47, "width": 63, "classes": 2, "log_t": 8},
        quick={"height": 12, "width": 15, "classes": 2, "log_t": 8},
        tolerance=1e-3,
        repetitions=2,
    ),
    "psa": Case(
        "PSA's random walk",
        features,
        psa,
        psa_dense,
        size={"height": 47, "width": 63, "classes": 3, "channels": 448, "log_t": 8},
        quick={"height": 12, "width": 15, "classes": 2, "channels": 16, "log_t": 8},
        tolerance=1e-3,
        repetitions=2,
    ),
}
