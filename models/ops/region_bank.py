"""ModuSeg (2026): masks are named by labelled regions of other images whose features are like theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.nearest import nearest
from models.options import Count, PositiveCount, Share, ShareBelowOne
from models.structures import BACKGROUND, UNLABELLED, Mask, Proposals


@dataclass(frozen=True)
class BankOptions:
    """How regions become a bank, and how proposals are classified by it. Defaults are ModuSeg's.

    Attributes:
        layer: of the backbone, whose features are compared.
        erosion: times that a labelled region is eroded by 3x3 pixels, away from its uncertain edge.
        least_area: pixels that a region, once eroded, or a proposal must have.
        dropped: share of the regions of each object class, those farthest from the class's mean, that are left out.
        neighbours: regions that are asked; of fewer, all.
        least_score: proposals of a smaller score are left out.
        overlap: of two proposals of a class whose intersection over union is above it, the one of the smaller score
            is left out.
    """

    layer: str = "layer4"
    erosion: Count = 20
    least_area: Count = 300
    dropped: ShareBelowOne = 0.25
    neighbours: PositiveCount = 25
    least_score: Share = 0.6
    overlap: Share = 0.4


def labelled_regions(seeds: Mask, erosion: int, least_area: int) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """The pixels of each label 0..C of an image, without their edge: (label, bool [H,W]).

    Args:
        seeds: uint8 [H,W]; 254 and 255 are of no region.
        erosion: times; the image's border is no edge.
        least_area: pixels that must be left.
    """
    from scipy.ndimage import binary_erosion

    regions = []
    for label in np.unique(seeds[seeds < UNLABELLED]):
        region = seeds == label
        if erosion:
            region = binary_erosion(region, np.ones((3, 3)), iterations=erosion, border_value=1)
        if region.sum() >= max(least_area, 1):
            regions.append((int(label), region))
    return regions


def pooled_features(features: Tensor, masks: npt.NDArray[np.bool_]) -> Tensor:
    """Mean feature of each mask, each cell counted by how much of it the mask covers: unit length, [M,D].

    Args:
        features: float [D,h,w] that cover the whole image.
        masks: bool [M,H,W].
    """
    grid = (features.shape[1], features.shape[2])
    covered = [F.adaptive_avg_pool2d(torch.from_numpy(mask)[None].to(features), grid)[0].flatten() for mask in masks]
    if not covered:
        return features.new_zeros(0, len(features))
    return F.normalize(torch.stack(covered) @ features.flatten(1).T, dim=1)


def near_their_mean(vectors: Tensor, labels: Tensor, dropped: float) -> Tensor:
    """Positions int64, ascending, without the regions of each object class that are farthest from the class's mean.

    Args:
        vectors: float [n,D] of unit length.
        labels: int64 [n]; the background keeps all.
        dropped: share of each class that goes, rounded down.
    """
    kept = torch.ones(len(labels), dtype=torch.bool, device=labels.device)
    for label in labels[labels != BACKGROUND].unique():
        members = (labels == label).nonzero()[:, 0]
        likeness = vectors[members] @ F.normalize(vectors[members].mean(0), dim=0)
        kept[members[likeness.argsort(stable=True)[: int(dropped * len(members))]]] = False
    return kept.nonzero()[:, 0]


def neighbours_vote(queries: Tensor, vectors: Tensor, labels: Tensor, k: int) -> Tensor:
    """The label that most of the k nearest regions have; of several, the one whose cosines sum to more: int64 [n].

    Args:
        queries: float [n,D]. vectors: float [m,D], m >= 1. All of unit length.
        labels: int64 [m], 0..C.
        k: regions that are asked; of fewer, all.
    """
    cosines, places = nearest(queries, vectors, min(k, len(vectors)))
    votes = F.one_hot(labels[places], int(labels.max()) + 1)  # [n,k,1+C]
    counts = votes.sum(1)
    sums = (votes * cosines[:, :, None]).sum(1)
    tied = counts == counts.amax(1, keepdim=True)
    return sums.masked_fill(~tied, float("-inf")).argmax(1)


def painted(proposals: Proposals, labels: npt.NDArray[np.int64], overlap: float) -> Mask:
    """The mask that classified proposals paint, those of larger scores first and not painted over: uint8 [H,W].

    Args:
        proposals: of one image.
        labels: int64 [M], 0..C; of several scores that are equal, the earlier proposal is the first.
        overlap: see :class:`BankOptions`.
    """
    mask = np.full(proposals.masks.shape[1:], UNLABELLED, np.uint8)
    kept: dict[int, list[npt.NDArray[np.bool_]]] = {}
    for m in np.argsort(-proposals.scores, kind="stable"):
        region, label = proposals.masks[m], int(labels[m])
        if any((region & other).sum() > overlap * (region | other).sum() for other in kept.get(label, ())):
            continue
        kept.setdefault(label, []).append(region)
        mask[region & (mask == UNLABELLED)] = label
    mask[mask == UNLABELLED] = BACKGROUND
    return mask
