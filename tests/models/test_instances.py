"""Objects from displacements."""

from __future__ import annotations

import numpy as np

from models.ops.instances import centroids, instances


def pointing_to(centres: list[tuple[int, int]], size: tuple[int, int]) -> np.ndarray:
    """Displacements [2,h,w] from each cell to the nearest centre."""
    cells = np.indices(size)
    ways = np.stack([np.array(centre).reshape(2, 1, 1) - cells for centre in centres])
    nearest = np.square(ways).sum(1).argmin(0)
    return np.take_along_axis(ways, nearest[None, None], 0)[0].astype(np.float32)


def test_cells_end_at_the_centre_they_point_to() -> None:
    ends = centroids(0.2 * pointing_to([(4, 4)], (9, 9)), steps=100)
    assert np.allclose(ends[0], 4, atol=0.01)
    assert np.allclose(ends[1], 4, atol=0.01)


def test_two_centres_are_two_objects() -> None:
    found = instances(pointing_to([(8, 6), (8, 24)], (16, 31)))
    assert found.dtype == np.int32
    assert found.max() == 2
    assert (found[:, :14] == 1).all()
    assert (found[:, 17:] == 2).all()


def test_a_field_without_displacement_is_one_object() -> None:
    assert (instances(np.zeros((2, 5, 7), np.float32)) == 1).all()


def test_a_field_that_never_rests_is_none() -> None:
    assert not instances(np.full((2, 5, 7), 9, np.float32)).any()
