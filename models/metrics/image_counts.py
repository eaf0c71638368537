"""Pixel counts of each label in each image: IoU over any choice of the images follows from their sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import ConfusionMatrix, Counts


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What one image adds to the counts, for the background and each label that its truth or prediction shows.

    Attributes:
        labels: int64 [L], ascending, 0 (background) first.
        truth: int64 [L], pixels of each label in the truth.
        predicted: int64 [L], pixels of each predicted label that have a truth.
        right: int64 [L], pixels of each label that truth and prediction agree on.
    """

    labels: Counts
    truth: Counts
    predicted: Counts
    right: Counts


@dataclass(frozen=True, slots=True)
class SweptCounts:
    """The same of a CAM at each of T background thresholds: some hundred bytes a label.

    Attributes:
        labels, truth: as in :class:`ImageCounts`.
        predicted, right: int32 [L,T].
    """

    labels: Counts
    truth: Counts
    predicted: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]

    def at(self, index: int) -> ImageCounts:
        """The counts at one threshold."""
        predicted, right = (each[:, index].astype(np.int64) for each in (self.predicted, self.right))
        return ImageCounts(self.labels, self.truth, predicted, right)


def mask_counts(confusion: ConfusionMatrix) -> ImageCounts:
    """The counts of a confusion matrix of one image."""
    truth = confusion.counts.sum(1) + confusion.missed
    predicted, right = confusion.counts.sum(0), np.diagonal(confusion.counts)
    shown = _shown((truth > 0) | (predicted > 0))
    return ImageCounts(shown, truth[shown], predicted[shown], right[shown])


def swept_counts(classes: Counts, joint: Counts) -> SweptCounts:
    """The counts of one image's CAM.

    Args:
        classes: int64 [K] in 1..C, all different.
        joint: int64 [1+C,K,T+1], pixels by true label, best class, and number of thresholds below its score; K = 1
            where ``classes`` is empty.
    """
    above = joint[:, : len(classes), :0:-1].cumsum(2)[:, :, ::-1]
    truth = joint.sum((1, 2))
    predicted = np.zeros((len(joint), joint.shape[2] - 1), np.int32)
    right = np.zeros_like(predicted)
    predicted[classes], right[classes] = above.sum(0), above[classes, np.arange(len(classes))]
    predicted[0], right[0] = truth.sum() - above.sum((0, 1)), truth[0] - above[0].sum(0)
    shown = _shown((truth > 0) | np.isin(np.arange(len(joint)), classes))
    return SweptCounts(shown, truth[shown], predicted[shown], right[shown])


def _shown(there: npt.NDArray[np.bool_]) -> Counts:
    """The labels that are there, and the background in any case: an image without a judged pixel is an image too."""
    there[0] = True
    return np.flatnonzero(there)
