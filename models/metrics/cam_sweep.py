"""IoU of CAMs at every background threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from models.metrics.confusion import Absent, ConfusionMatrix, Counts, Fractions
from models.structures import IGNORE, Mask

PUBLISHED_THRESHOLDS = tuple(i / 100 for i in range(60))


class CamSweep:
    """Confusion at every background threshold, in one pass over each image.

    A pixel takes its best class where the score is above the threshold, else background (an argmax with the background
    first). Only the number of thresholds below the score matters, so a joint histogram over (truth, best class, that
    number) holds all the confusions at once. Scores and thresholds are compared in float32, as published.

    Attributes:
        thresholds: float64 [T], ascending.
        histogram: int64 [1+C,C,T+1].

    Source: arvijj/hfpl@1038a68:eval_cam_voc.py; jiwoon-ahn/irn@a2ece00:step/eval_cam.py.
    """

    def __init__(self, num_classes: int, thresholds: Sequence[float] = PUBLISHED_THRESHOLDS) -> None:
        """``thresholds``: ascending, none negative."""
        self.thresholds: Fractions = np.asarray(thresholds, np.float64)
        if not len(self.thresholds) or self.thresholds[0] < 0 or (np.diff(self.thresholds) <= 0).any():
            raise ValueError(f"thresholds must ascend from 0 or above, found {list(thresholds)}")
        self.histogram: Counts = np.zeros((num_classes + 1, num_classes, len(self.thresholds) + 1), np.int64)

    def update(self, classes: npt.NDArray[np.int64], scores: npt.NDArray[np.float32], truth: Mask) -> None:
        """Add one image: classes [K] in 1..C, scores float32 [K,H,W], truth uint8 [H,W].

        Raises:
            ValueError: unequal shapes, or a truth label that is no class.
        """
        labels, num_classes, bins = self.histogram.shape
        if scores.shape != (len(classes), *truth.shape):
            raise ValueError(f"scores are {scores.shape}, expected {(len(classes), *truth.shape)}")
        if classes.size and not 1 <= classes.min() <= classes.max() <= num_classes:
            raise ValueError(f"classes must be in 1..{num_classes}, found {classes.tolist()}")
        columns = max(len(classes), 1)
        index = truth.astype(np.intp) * (columns * bins)
        if len(classes):
            index += self._bins(scores.max(0))
        if len(classes) > 1:
            index += scores.argmax(0) * bins
        joint = np.bincount(index.ravel(), minlength=256 * columns * bins).reshape(256, columns, bins)
        if joint[labels:IGNORE].any():
            raise ValueError(f"truth has labels outside 0..{labels - 1} (255 apart)")
        # Without classes every pixel lies in the bin below all thresholds, where the class does not matter.
        self.histogram[:, classes - 1 if len(classes) else [0]] += joint[:labels]

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``, made with the same thresholds."""
        if not np.array_equal(self.thresholds, other.thresholds):
            raise ValueError("the two sweeps have different thresholds")
        self.histogram += other.histogram
        return self

    def confusion(self, index: int) -> ConfusionMatrix:
        """The confusion matrix at ``thresholds[index]``."""
        foreground = self.histogram[:, :, index + 1 :].sum(2)
        background = self.histogram.sum((1, 2)) - foreground.sum(1)
        result = ConfusionMatrix(self.histogram.shape[1])
        result.counts[:] = np.column_stack([background, foreground])
        result.largest = int(np.flatnonzero(result.counts.any(0) | result.counts.any(1)).max(initial=-1))
        return result

    def curve(self, absent: Absent = "zero") -> Fractions:
        """mIoU at each threshold [T]."""
        return np.array([self.confusion(i).miou(absent) for i in range(len(self.thresholds))])

    def best(self, absent: Absent = "zero") -> int:
        """Index of the best threshold, the first of equal ones."""
        return int(self.curve(absent).argmax())

    def _bins(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
        """Number of thresholds below each score, 0..T."""
        return np.searchsorted(self.thresholds.astype(np.float32), scores, side="left")
