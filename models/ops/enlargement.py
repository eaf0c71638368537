"""Bilinear enlargement as a product with matrices, so that unit features at full resolution need never exist.

The cosine of an enlarged feature with a vector is (enlarged dot product) / (norm of the enlarged feature). The dot
product is linear, so it is enlarged after it is taken: K channels instead of D. The norm is a quadratic form of four
neighbouring cells, so it follows from the products of neighbours, five maps of the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-12
"""Smallest norm that is divided by, as in ``F.normalize``."""


@dataclass(frozen=True, slots=True, eq=False)
class Enlargement:
    """The linear map ``F.interpolate(mode="bilinear", align_corners=False)`` from a grid h x w to H x W pixels.

    Attributes:
        rows: [H,h], each row the weights of a pixel over cells: at most two neighbours.
        columns: [W,w].
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, features: Tensor, size: Sequence[int]) -> Enlargement:
        """From the grid of ``features`` [...,h,w], in their type and on their device, to ``size`` (H, W)."""
        rows, columns = (_weights(*lengths, features) for lengths in zip(features.shape[-2:], size, strict=True))
        return cls(rows, columns)

    def __call__(self, maps: Tensor) -> Tensor:
        """[...,H,W] of [...,h,w]."""
        return self.rows @ maps @ self.columns.T

    def adjoint(self, maps: Tensor) -> Tensor:
        """[...,h,w] of [...,H,W]: what each cell gives to a sum of enlarged values weighted by ``maps``."""
        return self.rows.T @ maps @ self.columns

    def norms(self, features: Tensor) -> Tensor:
        """Length of every enlarged feature, at least ``EPS``: [...,H,W] of [...,D,h,w].

        Sums products of features, so what is not negative (after a ReLU) loses nothing to cancellation.
        """
        up, left = features[..., :-1, :], features[..., :-1]
        down, right = features[..., 1:, :], features[..., 1:]
        diagonal = up[..., :-1] * down[..., 1:] + up[..., 1:] * down[..., :-1]
        squares, beside, below = features.square(), left * right, up * down
        above = torch.cat([squares.sum(-3), beside.sum(-3)], -1)
        under = torch.cat([below.sum(-3), diagonal.sum(-3) / 2], -1)
        squared = _pairs(self.rows) @ torch.cat([above, under], -2) @ _pairs(self.columns).T
        return squared.clamp(min=EPS**2).sqrt()

    def cosines(self, features: Tensor, directions: Tensor) -> Tensor:
        """Cosine of every enlarged feature with every direction: [...,K,H,W] of [...,D,h,w] and [...,K,D] unit vectors.

        A direction of zeros has cosine 0.
        """
        products = torch.einsum("...kd,...dhw->...khw", directions, features)
        return self(products) / self.norms(features).unsqueeze(-3)


def _weights(cells: int, pixels: int, like: Tensor) -> Tensor:
    identity = torch.eye(cells, dtype=like.dtype, device=like.device)
    return F.interpolate(identity[None], pixels, mode="linear", align_corners=False)[0].T


def _pairs(weights: Tensor) -> Tensor:
    """Weights of the products of a cell with itself, then with the next one (which counts twice): [n,2m-1] of [n,m]."""
    return torch.cat([weights.square(), 2 * weights[:, :-1] * weights[:, 1:]], 1)
