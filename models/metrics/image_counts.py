"""Counts of each label in each image: scores over any choice of the images follow from their sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import ConfusionMatrix, Counts

PIXELS = ("truth", "predicted", "right")
"""Pixels of a label in the truth, pixels predicted as it that have a truth, and pixels in both."""
BOUNDARY = ("boundary_truth", "boundary_predicted", "matched_truth", "matched_predicted")
"""Boundary pixels of a class in the truth and in the prediction, and how many of each are matched by the other."""
COLUMNS = PIXELS + BOUNDARY
BOXES = ("judged", "top1_loc", "top5_loc", "gt_known", "v2_30", "v2_50", "v2_70")
"""Of an image whose box was judged: 1, and 0 or 1 for each score of object localisation, at its best threshold."""


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What one image adds to the counts, for some labels.

    Attributes:
        labels: int64 [L], ascending.
        counts: int64 [L,K], of the K columns of :data:`PIXELS`, :data:`BOUNDARY` or :data:`COLUMNS`.
    """

    labels: Counts
    counts: Counts


def mask_counts(confusion: ConfusionMatrix) -> ImageCounts:
    """The pixel counts of a confusion matrix of one image: of the background, and of each label that it shows."""
    truth = confusion.counts.sum(1) + confusion.missed
    predicted, right = confusion.counts.sum(0), np.diagonal(confusion.counts)
    shown = _shown((truth > 0) | (predicted > 0))
    return ImageCounts(shown, np.stack([truth, predicted, right], 1)[shown])


def beside(*parts: ImageCounts) -> ImageCounts:
    """Columns of one image side by side, over the labels of all parts; 0 where a part lacks a label."""
    labels = reduce(np.union1d, (part.labels for part in parts))
    columns = []
    for part in parts:
        filled = np.zeros((len(labels), part.counts.shape[1]), np.int64)
        filled[np.searchsorted(labels, part.labels)] = part.counts
        columns.append(filled)
    return ImageCounts(labels, np.concatenate(columns, 1))


def _shown(there: npt.NDArray[np.bool_]) -> Counts:
    """The labels that are there, and the background in any case: an image without a judged pixel is an image too."""
    there[0] = True
    return np.flatnonzero(there)
