"""Objects from displacements: every cell is followed to where it points, cells that end together are one object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label

from models.ops.background import Scores

STEPS = 300
WEAK = 2.5
"""Cells whose displacement is shorter are centres (IRN's threshold)."""


def centroids(displacement: Scores, steps: int = STEPS) -> npt.NDArray[np.float64]:
    """Where each cell ends when it follows the displacements, sampled bilinearly, step by step.

    Args:
        displacement: float [2,h,w], (y, x) in cells.
        steps: times that a point moves on (IRN 300).

    Returns:
        float64 [2,h,w], positions within the grid.

    Source: jiwoon-ahn/irn@a2ece00:misc/indexing.py, step/make_ins_seg_labels.py.
    """
    size = displacement.shape[1:]
    limit = np.array(size, np.float64).reshape(2, 1, 1) - 1
    position: npt.NDArray[np.float64] = np.indices(size).astype(np.float64)
    for _ in range(steps):
        move = [ndimage.map_coordinates(axis, position, order=1, mode="nearest") for axis in displacement]
        position = np.clip(position + np.stack(move), 0, limit)
    return position


def instances(displacement: Scores, steps: int = STEPS, weak: float = WEAK) -> npt.NDArray[np.int32]:
    """Class-agnostic objects: int32 [h,w], 1..N, each the cells that end in the same cluster of weak displacement.

    Args:
        displacement: float [2,h,w], (y, x) in cells.
        steps: see :func:`centroids`.
        weak: cells with a shorter displacement form the clusters, 8-connected.

    Returns:
        Ids in the order of their clusters, row by row; 0 for cells that end in no cluster.
    """
    clusters = label(np.hypot(*displacement) < weak, connectivity=2)
    row, column = np.rint(centroids(displacement, steps)).astype(np.intp)
    reached = clusters[row, column]
    _, numbered = np.unique(reached[reached > 0], return_inverse=True)
    objects = np.zeros(reached.shape, np.int32)
    objects[reached > 0] = numbered + 1
    return objects
