"""Prototypes of segments."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def segment_sums(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Sum over the pixels of each segment: [count,D] of values [n,D] and segments int64 [n] in 0..count-1."""
    return values.new_zeros(count, values.shape[1]).index_add(0, segment, values)


def segment_prototypes(vectors: Tensor, segment: Tensor, count: int) -> Tensor:
    """Unit length sums of the pixels of each segment, [count,D]; zero for a segment without pixels. Differentiable.

    Source: twke18/SPML@0800afd:spml/utils/segsort/common.py (calculate_prototypes_from_labels).
    """
    return F.normalize(segment_sums(vectors, segment, count), dim=1)
