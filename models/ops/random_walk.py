"""Random walks on the pixel graph without a dense matrix: vec T^t as t products with a banded matrix.

The links of a grid reach a few cells, so the transition matrix has one diagonal per offset (69 for radius 5). Squaring
it, as the published code does, fills it; t products of a few vectors with it do the same and cost t * 69 * n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from models.ops.pixel_pairs import Offset

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PairLinks:
    """Affinities of pairs within a radius; every cell is linked to itself with 1.

    Attributes:
        affinity: [P,h',w'] in [0,1], from the sources (rows from 0, columns from ``left`` on) to the targets.
        offsets: (dy, dx) of the P pairs, none of them twice, none the reverse of another.
        grid: (h, w); sources and targets beyond it count for nothing.
        left: column of the first source, negative where the affinities reach beyond the grid.
        stride: pixels of the image between two cells.
        damping: [h,w], the share of each cell's value that enters the walk (IRN: one minus the boundary); None for all.
    """

    affinity: npt.NDArray[np.floating]
    offsets: tuple[Offset, ...]
    grid: tuple[int, int]
    left: int
    stride: int = 1
    damping: npt.NDArray[np.floating] | None = None

    def matrix(self, beta: float = 1.0) -> sparse.dia_array:
        """The symmetric matrix A^beta (elementwise) with unit diagonal, float64 [h*w,h*w], by diagonals."""
        height, width = self.grid
        cells = height * width
        diagonals: dict[int, Array] = {0: np.ones(cells)}
        for offset, values in zip(self.offsets, self.affinity, strict=True):
            if offset[0] >= height or abs(offset[1]) >= width:
                continue
            shift = offset[0] * width + offset[1]
            from_sources = self._on_grid(values, offset, beta).ravel()
            at_targets = np.zeros(cells)
            at_targets[shift:] = from_sources[: cells - shift]
            # a dia_array keeps the entry of row i and column j at place j of diagonal j - i
            diagonals[shift] = diagonals.get(shift, 0) + at_targets
            diagonals[-shift] = diagonals.get(-shift, 0) + from_sources
        return sparse.dia_array((np.stack(list(diagonals.values())), list(diagonals)), shape=(cells, cells))

    def walk(self, values: npt.NDArray[np.floating], beta: float, steps: int) -> Array:
        """See :class:`Links`. A is symmetric, so a step of the row vector v is ``A v`` over the sums of A."""
        matrix = self.matrix(beta)
        scale = 1 / matrix.data.sum(0)  # a diagonal is stored by column, zero where it leaves the matrix
        damped = values if self.damping is None else values * self.damping
        walked = damped.reshape(len(values), -1).astype(np.float64)
        for k in range(len(walked)):
            for _ in range(steps):
                walked[k] = (matrix @ walked[k]) * scale
        return walked.reshape(-1, *self.grid)

    def _on_grid(self, values: npt.NDArray[np.floating], offset: Offset, beta: float) -> Array:
        """Affinities^beta placed at their sources on the grid; zero where source or target lies outside."""
        (height, width), (dy, dx) = self.grid, offset
        rows = min(values.shape[0], height - dy)
        first = max(self.left, 0, -dx)
        last = min(self.left + values.shape[1], width, width - dx)
        placed = np.zeros(self.grid)
        if rows > 0 and first < last:
            kept = values[:rows, first - self.left : last - self.left]
            placed[:rows, first:last] = np.power(kept, beta, dtype=np.float64)
        return placed


@dataclass(frozen=True, eq=False)
class DenseLinks:
    """An affinity for every two cells, as SPML's: float [n,n], symmetric, n = h*w."""

    affinity: npt.NDArray[np.floating]
    grid: tuple[int, int]
    stride: int = 1

    def walk(self, values: npt.NDArray[np.floating], beta: float, steps: int) -> Array:
        """See :class:`Links`; products with vectors, the matrix is never squared."""
        powered = np.power(self.affinity, beta, dtype=np.float64)
        transition = powered / powered.sum(0)
        walked = values.reshape(len(values), -1).astype(np.float64)
        for _ in range(steps):
            walked = walked @ transition
        return walked.reshape(-1, *self.grid)


BALANCINGS = 3


@dataclass(frozen=True, eq=False)
class BalancedLinks:
    """Attention between every two cells, made to add up to about 1 both ways: float [n,n], n = h*w, rows are queries.

    The class-aware affinity of CLIP-ES; with the walk preset "clip_es" its two steps start in the boxes of a class.
    """

    affinity: npt.NDArray[np.floating]
    grid: tuple[int, int]
    stride: int = 1

    def transition(self, beta: float = 1.0) -> Array:
        """T float64 [n,n], symmetric: A^beta divided by its column sums, then by its row sums, three times; (T + T')/2.

        Source: linyq2117/CLIP-ES@3893f81:generate_cams_voc12.py.
        """
        balanced = np.power(self.affinity, beta, dtype=np.float64)
        for _ in range(BALANCINGS):
            balanced = balanced / balanced.sum(0)
            balanced = balanced / balanced.sum(1, keepdims=True)
        symmetric: Array = (balanced + balanced.T) / 2
        return symmetric

    def walk(self, values: npt.NDArray[np.floating], beta: float, steps: int) -> Array:
        """See :class:`Links`; T is not divided by its column sums again, and never squared."""
        transition = self.transition(beta)
        walked = values.reshape(len(values), -1).astype(np.float64)
        for _ in range(steps):
            walked = walked @ transition
        return walked.reshape(-1, *self.grid)
