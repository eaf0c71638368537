"""Scores of many choices of the images at once, from counts that were summed over each choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import EPS, Fractions
from models.metrics.contour import BOUND_TH, f_score
from models.metrics.image_counts import BOXES

Score = Callable[[Fractions], Fractions]


@dataclass(frozen=True, slots=True)
class Metric:
    """A score that follows from sums over images.

    Attributes:
        key: as an evaluation's metrics.json has it.
        title: for a reader.
        columns: the K counts that it needs, of ``models.metrics.image_counts.COLUMNS`` or ``BOXES``, those of the truth
            first.
        of_truth: how many of them belong to the truth: they do not differ between evaluations of the same images.
        background: whether the background is one of its labels.
        score: sums float64 [R,L,K] of R choices of the images, over L labels -> the score in percent, [R].
        options: of an evaluation that change what is counted, with their defaults.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    of_truth: int
    background: bool
    score: Score
    options: Mapping[str, Any] = field(default_factory=dict)


def miou(sums: Fractions) -> Fractions:
    """mIoU in percent, [R], from sums [R,L,3] of ``truth``, ``predicted`` and ``right``, over labels with a truth."""
    truth, predicted, right = np.moveaxis(sums, 2, 0)
    return _mean(right / (truth + predicted - right + EPS), truth > 0)


def boundary_f(sums: Fractions) -> Fractions:
    """Mean boundary F in percent, [R], over classes with a truth.

    Args:
        sums: [R,L,5] of ``truth``, ``boundary_truth``, ``boundary_predicted``, ``matched_truth`` and
            ``matched_predicted``, without the background.
    """
    truth, *counts = np.moveaxis(sums, 2, 0)
    return _mean(f_score(*counts), truth > 0)


def _mean(values: Fractions, shown: npt.NDArray[np.bool_]) -> Fractions:
    """In percent, over the labels that are shown, [R]; 0 where there is none."""
    mean: Fractions = 100 * np.where(shown, values, 0).sum(1) / np.maximum(shown.sum(1), 1)
    return mean


MIOU = Metric("miou", "mIoU", ("truth", "predicted", "right"), 1, True, miou)
BOUNDARY_F = Metric(
    "boundary_f", "boundary F", ("truth", "boundary_truth", "boundary_predicted", "matched_truth", "matched_predicted"),
    2, False, boundary_f, {"bound_th": BOUND_TH},
)  # fmt: skip
METRICS = (MIOU, BOUNDARY_F)


def share_right(sums: Fractions) -> Fractions:
    """Share of the judged images that are right, in percent, [R], from sums [R,L,1+K] of ``judged`` and K columns.

    The mean over the columns: MaxBoxAccV2 is that of three IoUs.
    """
    judged, *right = np.moveaxis(sums.sum(1), 1, 0)
    share: Fractions = 100 * np.mean(right, axis=0) / np.maximum(judged, 1)
    return share


BOX_METRICS = tuple(
    Metric(key, title, (BOXES[0], *columns), 1, True, share_right, {"images": "single_class", "side": 0})
    for key, title, columns in (
        ("top1_loc", "Top-1 Loc", ("top1_loc",)),
        ("gt_known", "GT-known", ("gt_known",)),
        ("max_box_acc_v2", "MaxBoxAccV2", ("v2_30", "v2_50", "v2_70")),
    )
)
"""Of evaluations of boxes; each at the threshold that is the best for all images."""
