"""Spherical k-means with location (SPML): an image is cut into segments of pixels that look alike and lie together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def grid_clusters(size: Sequence[int], clusters: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Where k-means starts: a regular grid of cells, those at the border half as large.

    Args:
        size: (H, W) in pixels.
        clusters: (ny, nx) cells.

    Returns:
        int64 [H,W], ``iy + ny ix`` with ``i = round(linspace(0, n - 1, length))``.

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (initialize_cluster_labels).
    """
    rows, columns = (
        torch.linspace(0, count - 1, length, device=device).round().long()
        for count, length in zip(clusters, size, strict=True)
    )
    return rows[:, None] + clusters[0] * columns


def location(size: Sequence[int], like: Tensor) -> Tensor:
    """Place of every pixel, [H,W,2]: (y, x), each from -0.5 to 0.5; type and device of ``like``.

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (generate_location_features).
    """
    axes = [torch.linspace(0, 1, length, device=like.device, dtype=like.dtype) - 0.5 for length in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def located(embeddings: Tensor) -> Tensor:
    """Unit vectors of embedding, y and x: [B,D+2,H,W] of unit embeddings [B,D,H,W]."""
    place = location(embeddings.shape[2:], embeddings).permute(2, 0, 1).expand(len(embeddings), -1, -1, -1)
    return F.normalize(torch.cat([embeddings, place], 1), dim=1)


@torch.no_grad()
def spherical_kmeans(vectors: Tensor, start: Tensor, kept: Tensor, clusters: int, iterations: int = 10) -> Tensor:
    """Cluster the pixels of each image by cosine, without gradient.

    A round makes the unit sum of each cluster's pixels, then gives every pixel to the nearest one. A cluster that loses
    all its pixels has cosine 0 with everything and is not seeded again.

    Args:
        vectors: float [B,N,D], unit length.
        start: int64 [N], cluster of each pixel at first, 0..clusters-1; the same for all images.
        kept: bool [B,N]; other pixels make no cluster, and what they get means nothing.
        clusters: of each image.
        iterations: rounds (SPML 10).

    Returns:
        int64 [B,N], 0..clusters-1.

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (kmeans_with_initial_labels).
    """
    cluster = start.expand(vectors.shape[:2])
    weights = kept.to(vectors.dtype).unsqueeze(2)
    for _ in range(iterations):
        members = F.one_hot(cluster, clusters).to(vectors.dtype) * weights
        prototypes = F.normalize(members.transpose(1, 2) @ vectors, dim=2)
        cluster = (vectors @ prototypes.transpose(1, 2)).argmax(2)
    return cluster


def split(*codes: Tensor, below: Sequence[int]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Number the different combinations of codes, in ascending order.

    Args:
        codes: int64 [n] each, 0 or more.
        below: what the values of each code are less than; the product at most 2^63.

    Returns:
        (int64 [n], the number of each entry's combination, 0..S-1; for each code its value in every combination [S]).
    """
    key = torch.zeros_like(codes[0])
    for code, size in zip(codes, below, strict=True):
        key = key * size + code
    keys, ids = torch.unique(key, return_inverse=True)
    values = []
    for size in reversed(below):
        values.append(keys % size)
        keys = keys // size
    return ids, tuple(reversed(values))
