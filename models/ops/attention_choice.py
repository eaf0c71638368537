"""Which attention maps of a transformer are kept beside an affinity that was learned (WeCLIP, ExCEL)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

EPS = 1e-5


class ChosenAttention(NamedTuple):
    """What :func:`chosen_attention` makes of L attention maps of n cells.

    Attributes:
        weight: [n,n], the mean of the kept maps times the affinity.
        difference: [L], affinity minus map, summed over all pairs.
        kept: bool [L].
    """

    weight: Tensor
    difference: Tensor
    kept: Tensor


def chosen_attention(attention: Tensor, affinity: Tensor) -> ChosenAttention:
    """Keep the maps whose signed difference from the affinity is at most the mean one; affinity times their mean.

    The affinity's own sum is the same for every map and cancels out of the choice: a map is kept where its cells give
    each other at least the average attention, so where little goes to the class token.

    Args:
        attention: [L,n,n] of the last L blocks, between cells alone, means over heads.
        affinity: [n,n] in [0,1].

    Source: zbf1991/WeCLIP@0f47db46b5a5:WeCLIP/clip/clip_tool.py (perform_single_voc_cam).
    """
    difference = (affinity - attention).flatten(1).sum(1)
    kept = difference <= difference.mean()
    mean = (attention * kept[:, None, None]).sum(0) / (kept.sum() + EPS)
    return ChosenAttention(mean * affinity, difference, kept)
