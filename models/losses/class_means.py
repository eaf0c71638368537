"""Means over the classes of a data set, most of which are 0 on every image: how many classes they count.

SEAM, RTC and MAM average differences of CAMs over all C classes, also those that an image does not have, whose maps are
0. So the same difference weighs 20/C times as much on C classes as on the 20 of VOC, for which the weights were
published. ``counted`` is the number of classes that the mean counts in place of C: with 20 a term has the strength that
it has on VOC, whatever C is, and classes that no image has do not change it.
"""

from __future__ import annotations

from torch import Tensor


def class_mean(gaps: Tensor, counted: int = 0) -> Tensor:
    """Mean of the absolute values of gaps [N,C,...], float scalar.

    Args:
        counted: classes that the mean counts; 0: C, as published.
    """
    return gaps.abs().mean() * (gaps.shape[1] / (counted or gaps.shape[1]))


def hardest_mean(gaps: Tensor, share: float, counted: int = 0) -> Tensor:
    """Mean of the largest ``share`` of the absolute values of each image's gaps [N,K,...], float scalar.

    Args:
        gaps: K channels, those of classes and perhaps of the background.
        share: of an image's entries, in (0,1].
        counted: channels whose entries the share is taken of; 0: K, as published. Channels that are not there are 0.
    """
    flat = gaps.abs().flatten(1)
    kept = max(1, int(share * ((counted or gaps.shape[1]) * gaps[0, 0].numel())))
    there = min(kept, flat.shape[1])
    return flat.topk(there, sorted=False).values.mean() * (there / kept)
