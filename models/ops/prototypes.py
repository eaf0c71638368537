"""Prototypes of segments, and what most of a segment's pixels say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def segment_sums(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Sum over the pixels of each segment: [count,D] of values [n,D] and segments int64 [n] in 0..count-1."""
    return values.new_zeros(count, values.shape[1]).index_add(0, segment, values)


def segment_means(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Mean over the pixels of each segment, [count,D]; 0 for a segment without pixels.

    Source: twke18/SPML@0800afd:spml/utils/general/common.py (segment_mean).
    """
    sizes = torch.bincount(segment, minlength=count).clamp(min=1)
    return segment_sums(values, segment, count) / sizes[:, None].to(values.dtype)


def segment_prototypes(vectors: Tensor, segment: Tensor, count: int) -> Tensor:
    """Unit length sums of the pixels of each segment, [count,D]; zero for a segment without pixels. Differentiable.

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (calculate_prototypes_from_labels).
    """
    return F.normalize(segment_sums(vectors, segment, count), dim=1)


def majority_labels(segment: Tensor, label: Tensor, count: int, labels: int) -> Tensor:
    """The most frequent label of each segment, the lowest of equals; 0 for a segment without pixels.

    Args:
        segment: int64 [n] in 0..count-1. label: int64 [n] in 0..labels-1.

    Returns:
        int64 [count].

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (find_majority_label_index).
    """
    votes = torch.bincount(segment * labels + label, minlength=count * labels).view(count, labels)
    return first_largest(votes)


def first_largest(votes: Tensor) -> Tensor:
    """Position of the largest entry of each row, the first of equals (``argmax`` may take any): int64 [n] of [n,L]."""
    places = torch.arange(votes.shape[1], device=votes.device).expand_as(votes)
    largest = votes == votes.amax(1, keepdim=True)
    return places.masked_fill(~largest, votes.shape[1]).amin(1)
