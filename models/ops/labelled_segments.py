"""A batch as SPML sees it: pixels of a coarse grid, the segments they form, and what is known about both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.counting import places
from models.ops.nearest import multiset_labels
from models.ops.prototypes import segment_prototypes
from models.ops.spherical_kmeans import grid_clusters, located, spherical_kmeans, split
from models.structures import IGNORE, REGIONS, UNLABELLED

SHRINK = 0.1
"""Of embeddings beside place and colour, where a segment looks for a labelled one like it."""


@dataclass(frozen=True)
class LabelledSegments:
    """The pixels that are not void, in the order image, row, column; and their segments.

    A segment is a cluster within one image, one label and one region. Pixels and segments without a label (254) are
    here like all others: which relation they take part in is the relation's business.

    Attributes:
        kept: bool [B,h,w], the n pixels.
        embeddings: float [n,D], unit length. located: float [n,D+2], unit length, with y and x.
        image, label, region: int64 [n].
        segment: int64 [n], the segment of each pixel, 0..S-1.
        segment_image, segment_label, segment_region: int64 [S].
        prototypes: float [S,D], unit length, of the embeddings.
    """

    kept: Tensor
    embeddings: Tensor
    located: Tensor
    image: Tensor
    label: Tensor
    region: Tensor
    segment: Tensor
    segment_image: Tensor
    segment_label: Tensor
    segment_region: Tensor
    prototypes: Tensor


def labelled_segments(
    embeddings: Tensor, seeds: Tensor, regions: Tensor | None, clusters: int, iterations: int
) -> LabelledSegments:
    """Cut a batch into segments.

    Args:
        embeddings: float32 [B,D,h,w], of any length; the gradient goes through pixels and prototypes alike.
        seeds: int64 [B,h,w]; 255 is dropped, 254 and labels stay.
        regions: int64 [B,h,w], 0 or more where the seeds are not 255; None for one region an image.
        clusters: cells of the first grid, on each side.
        iterations: of k-means.

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (segment_by_kmeans).
    """
    unit = F.normalize(embeddings, dim=1)
    placed = located(unit)
    kept = seeds != IGNORE
    clustered = image_clusters(placed, kept, clusters, iterations)
    where = kept.nonzero(as_tuple=True)  # once: a mask as index makes a GPU wait at every use
    image, label = where[0], seeds[where]
    region = torch.zeros_like(label) if regions is None else regions[where].clamp(min=0)
    segment, (segment_image, _, segment_label, segment_region) = split(
        image, clustered[where], label, region, below=(len(seeds), clusters**2, IGNORE, REGIONS)
    )
    pixels = unit.permute(0, 2, 3, 1)[where]
    prototypes = segment_prototypes(pixels, segment, len(segment_image))
    return LabelledSegments(
        kept,
        pixels,
        placed.permute(0, 2, 3, 1)[where],
        image,
        label,
        region,
        segment,
        segment_image,
        segment_label,
        segment_region,
        prototypes,
    )


def image_clusters(placed: Tensor, kept: Tensor, clusters: int, iterations: int) -> Tensor:
    """Cluster of every pixel, int64 [B,h,w], for located unit embeddings [B,D+2,h,w] and kept bool [B,h,w]."""
    start = grid_clusters(placed.shape[2:], (clusters, clusters), placed.device).flatten()
    flat = placed.detach().flatten(2).transpose(1, 2)
    return spherical_kmeans(flat, start, kept.flatten(1), clusters**2, iterations).view(kept.shape)


def cluster_prototypes(embeddings: Tensor, clusters: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Segments of images about which nothing is known, as inference has them.

    Args:
        embeddings: float32 [B,D,h,w], of any length. clusters, iterations: as in :func:`labelled_segments`.

    Returns:
        (int64 [B,h,w], the segment of each pixel; its prototypes float [B*clusters^2,D], zero for empty ones).
    """
    unit = F.normalize(embeddings, dim=1)
    clustered = image_clusters(located(unit), torch.ones_like(unit[:, 0], dtype=torch.bool), clusters, iterations)
    cluster = clustered + clusters**2 * torch.arange(len(unit), device=unit.device)[:, None, None]
    pixels = unit.permute(0, 2, 3, 1).flatten(0, 2)
    return cluster, segment_prototypes(pixels, cluster.flatten(), len(unit) * clusters**2)


def cell_seeds(seeds: Tensor, stride: int) -> Tensor:
    """Seeds int64 [B,ceil(H/stride),ceil(W/stride)]: of the pixel in the middle of each cell of seeds [B,H,W].

    Where that one is unlabelled, a labelled one of the cell counts, a class before background: a point of one pixel
    is not lost between the cells.
    """
    height, width = seeds.shape[1:]
    padded = F.pad(seeds, (0, -width % stride, 0, -height % stride), value=IGNORE)
    cells = padded.unflatten(2, (-1, stride)).unflatten(1, (-1, stride))
    middle = cell_values(seeds, stride)
    labelled = cells.masked_fill(cells >= UNLABELLED, -1).amax((2, 4))
    return middle.where((middle != UNLABELLED) | (labelled < 0), labelled)


def cell_values(values: Tensor, stride: int) -> Tensor:
    """Of the pixel in the middle of each whole cell, the nearest there is: [B,ceil(H/stride),ceil(W/stride)]."""
    rows, columns = (
        (torch.arange(0, length, stride, device=values.device) + stride // 2).clamp(max=length - 1)
        for length in values.shape[1:]
    )
    return values[:, rows][:, :, columns]


def affinity_sets(segments: LabelledSegments, image: Tensor, labels: int, threshold: float = 0.95) -> Tensor:
    """The labels that each segment may have: those of the labelled segment of its image that is most like it.

    Segments are compared by embedding (shrunk to a tenth), place and colour. One that is like none may have any.

    Args:
        image: float [B,3,H,W], the batch.
        labels: number of labels, 1 + C.
        threshold: least cosine.

    Returns:
        bool [S,labels], without gradient.

    Source: twke18/SPML@0800afd:spml/models/predictions/segsort_softmax_densepose.py.
    """
    with torch.no_grad():
        place = segments.located[:, -2:] / segments.located[:, :-2].norm(dim=1, keepdim=True).clamp(min=1e-12)
        where = places(segments.kept, len(segments.segment))
        colour = colour_features(image, segments.kept.shape[1:]).permute(0, 2, 3, 1).flatten(0, 2)[where]
        features = F.normalize(torch.cat([SHRINK * segments.embeddings, place, colour], 1), dim=1)
        alike = segment_prototypes(features, segments.segment, len(segments.segment_image))
        at = segments.segment_image
        sets = multiset_labels(alike, alike, segments.segment_label, at, at, labels, 1, threshold)
        return sets | ~sets.any(1, keepdim=True)


def colour_features(image: Tensor, size: torch.Size) -> Tensor:
    """Smoothed colour on a grid: [B,3,*size] in [-1,1], each channel of an image around 0, the largest value 1.

    Smoothed by a Gaussian of 5 x 5 cells; the published code has the distance from the middle as its weight.
    """
    small = F.interpolate(image, tuple(size), mode="bilinear", align_corners=False, antialias=True)
    weights = torch.exp(-torch.arange(-2.0, 3.0, device=image.device).square() / 2)
    weights = weights / weights.sum()
    kernel = (weights[:, None] * weights).expand(3, 1, 5, 5)
    smooth = F.conv2d(F.pad(small, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)
    centred = smooth - smooth.mean((2, 3), keepdim=True)
    return centred / centred.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
