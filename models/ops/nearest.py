"""Nearest prototypes among many: the best k by cosine without sorting the rest, and what their labels say."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 2**22
"""Cosines that exist at a time, 16 MiB in float32."""
GROUP = 64
"""Prototypes of which first only the best one is looked at."""


def nearest(queries: Tensor, prototypes: Tensor, k: int, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """The k prototypes of largest cosine, best first, exact.

    Prototypes are met in blocks, of which the best k are kept. Within a block the k best lie in the k groups of 64
    whose maxima are largest, so only these are ranked.

    Args:
        queries: float [n,D]. prototypes: float [m,D], m >= k. All of unit length.
        k: neighbours.
        block: cosines that exist at a time.

    Returns:
        (cosines float [n,k], indices int64 [n,k]).

    Raises:
        ValueError: fewer prototypes than k.
    """
    if len(prototypes) < k:
        raise ValueError(f"expected at least {k} prototypes, found {len(prototypes)}")
    columns = min(len(prototypes), max(k, block // 256))
    rows = max(1, block // columns)
    blocks = [_nearest(part, prototypes, k, columns) for part in queries.split(rows)]
    if not blocks:
        return queries.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64, device=queries.device)
    scores, indices = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return scores, indices


def _nearest(queries: Tensor, prototypes: Tensor, k: int, columns: int) -> tuple[Tensor, Tensor]:
    scores = queries.new_full((len(queries), 0), 0)
    indices = torch.zeros(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(prototypes), columns):
        cosines = queries @ prototypes[start : start + columns].T
        best, place = _largest(cosines, min(k, cosines.shape[1]))
        scores, indices = torch.cat([scores, best], 1), torch.cat([indices, place + start], 1)
        scores, order = scores.topk(min(k, scores.shape[1]), dim=1)
        indices = indices.gather(1, order)
    return scores, indices


def _largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``topk`` of each row [n,m], by way of the maxima of groups of columns."""
    whole = values.shape[1] // GROUP
    if whole <= k:
        largest = values.topk(k, dim=1)
        return largest.values, largest.indices
    grouped = values[:, : whole * GROUP].unflatten(1, (whole, GROUP))
    groups = grouped.amax(2).topk(k, dim=1, sorted=False).indices
    within = torch.arange(GROUP, device=values.device)
    candidates = (groups[:, :, None] * GROUP + within).flatten(1)
    rest = torch.arange(whole * GROUP, values.shape[1], device=values.device).expand(len(values), -1)
    candidates = torch.cat([candidates, rest], 1)
    best, place = values.gather(1, candidates).topk(k, dim=1)
    return best, candidates.gather(1, place)


def label_shares(labels: Tensor, count: int) -> Tensor:
    """How often each label stands in a row: float32 [n,count] that sum to 1, for int64 [n,k] in 0..count-1.

    Source: twke18/SPML@0800afd:spml/utils/segsort/eval.py (majority_label_from_topk).
    """
    return F.one_hot(labels, count).float().mean(1)


def multiset_labels(
    queries: Tensor,
    prototypes: Tensor,
    labels: Tensor,
    query_image: Tensor,
    image: Tensor,
    count: int,
    top_k: int = 1,
    threshold: float = 0.95,
) -> Tensor:
    """The labels of the nearest labelled prototypes of the same image, as a set.

    Args:
        queries: float [n,D]. prototypes: float [m,D]. All of unit length.
        labels: int64 [m]; those of ``count`` or more (unlabelled, void) are passed over.
        query_image: int64 [n]. image: int64 [m].
        count: number of labels.
        top_k: neighbours that are asked.
        threshold: neighbours of a smaller cosine are not.

    Returns:
        bool [n,count]; a row may be empty.

    Source: twke18/SPML@0800afd:spml/models/utils.py (gather_multiset_labels_per_batch_by_nearest_neighbor).
    """
    asked = (labels < count).nonzero()[:, 0]
    sets = torch.zeros(len(queries), count, dtype=torch.bool, device=queries.device)
    if not len(asked):
        return sets
    cosines = queries @ prototypes[asked].T
    cosines = cosines.masked_fill(query_image[:, None] != image[asked], float("-inf"))
    best, place = cosines.topk(min(top_k, len(asked)), dim=1)
    votes = F.one_hot(labels[asked][place], count).bool() & (best >= threshold)[:, :, None]
    return votes.any(1)
