"""Dataset IoU, precision, recall and pixel accuracy from one streaming confusion matrix."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from models.structures import IGNORE, UNLABELLED, Mask

Counts = npt.NDArray[np.int64]
Fractions = npt.NDArray[np.float64]
Absent = Literal["zero", "skip", "truth"]

EPS = 1e-10  # arvijj/hfpl@1038a68:eval_cam_voc.py


class ConfusionMatrix:
    """Pixel counts of true label against predicted label.

    Truth 255 is ignored. A prediction of 254 or 255 is an error of the true label and belongs to no predicted one.

    Three conventions for labels that the images do not show: ``absent="zero"`` counts a label that is neither in the
    truth nor in the prediction as 0 (HFPL, SEAM, SPML); ``absent="skip"`` leaves it out of the mean, and labels above
    the largest one seen do not exist (IRN, chainercv); ``absent="truth"`` leaves out every label without a pixel of
    truth: its IoU is 0 or undefined, whatever is predicted. Where the truth has all labels the three agree.

    Attributes:
        counts: int64 [1+C,1+C], rows truth, columns prediction.
        missed: int64 [1+C], pixels of each true label whose prediction is 254 or 255.
        largest: largest label seen in a truth or a prediction, void area included; -1 before the first image.
    """

    def __init__(self, num_classes: int) -> None:
        """Start from zero counts, for ``num_classes`` foreground classes."""
        self.labels = num_classes + 1
        self.counts: Counts = np.zeros((self.labels, self.labels), np.int64)
        self.missed: Counts = np.zeros(self.labels, np.int64)
        self.largest = -1

    def update(self, prediction: Mask, truth: Mask) -> npt.NDArray[np.intp]:
        """Add one image; both uint8 [H,W].

        Returns:
            The labels 0..C that either of them has, ascending.

        Raises:
            ValueError: another type, unequal shapes, or a label that is no class.
        """
        joint = _joint_histogram(prediction, truth)
        strange = joint[:, self.labels : UNLABELLED].sum() + joint[self.labels : IGNORE].sum()
        if strange:
            raise ValueError(f"{strange} pixels have a label outside 0..{self.labels - 1} (254, 255 apart)")
        seen = np.flatnonzero(joint[: self.labels].any(1) | joint[:, : self.labels].any(0))
        self.largest = max(self.largest, int(seen.max(initial=-1)))
        self.counts += joint[: self.labels, : self.labels]
        self.missed += joint[: self.labels, UNLABELLED:].sum(1)
        return seen

    def merge(self, other: Self) -> Self:
        """Add the counts of ``other``."""
        self.counts += other.counts
        self.missed += other.missed
        self.largest = max(self.largest, other.largest)
        return self

    def iou(self, absent: Absent = "zero", *, covered: bool = False, eps: float = EPS) -> Fractions:
        """Intersection over union of each label.

        Args:
            absent: ``"zero"``: [1+C], 0 for absent labels; ``"skip"``: [largest+1], NaN for them; ``"truth"``: [1+C],
                NaN for labels without truth.
            covered: judge only the pixels that have a predicted label (a pseudo-mask with an ignore band).
            eps: added to the union in the convention ``"zero"`` (HFPL 1e-10, SPML 1e-12).
        """
        hits = np.diagonal(self.counts)
        missed = 0 if covered else self.missed
        return self._ratio(hits, self.counts.sum(1) + missed + self.counts.sum(0) - hits, absent, eps)

    def precision(self, absent: Absent = "zero") -> Fractions:
        """Share of each predicted label that is right, shaped as :meth:`iou`."""
        return self._ratio(np.diagonal(self.counts), self.counts.sum(0), absent, EPS)

    def recall(self, absent: Absent = "zero") -> Fractions:
        """Share of each true label that is found, shaped as :meth:`iou`."""
        return self._ratio(np.diagonal(self.counts), self.counts.sum(1) + self.missed, absent, EPS)

    def miou(self, absent: Absent = "zero", *, covered: bool = False) -> float:
        """Mean of :meth:`iou` over the labels, background included."""
        return mean(self.iou(absent, covered=covered))

    @property
    def in_truth(self) -> npt.NDArray[np.bool_]:
        """Which labels have a pixel of truth, bool [1+C]."""
        shown: npt.NDArray[np.bool_] = self.counts.sum(1) + self.missed > 0
        return shown

    @property
    def pixel_accuracy(self) -> float:
        """Share of the pixels with a truth that are right."""
        return float(np.trace(self.counts) / max(self.counts.sum() + self.missed.sum(), 1))

    @property
    def coverage(self) -> float:
        """Share of the pixels with a truth that have a predicted label, not 254 or 255."""
        return float(self.counts.sum() / max(self.counts.sum() + self.missed.sum(), 1))

    def _ratio(self, part: Counts, whole: Counts, absent: Absent, eps: float) -> Fractions:
        if absent == "zero":
            return part / (whole + eps)
        if absent == "truth":
            return np.where(self.in_truth, part / (whole + eps), np.nan)
        seen = slice(self.largest + 1)
        return np.where(whole[seen] > 0, part[seen] / np.maximum(whole[seen], 1), np.nan)


def mean(values: Fractions) -> float:
    """Mean over the entries that are not NaN; 0 where there is none."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else 0.0


def _joint_histogram(prediction: Mask, truth: Mask) -> Counts:
    """Number of pixels of each (truth, prediction) pair of byte values, [256,256]."""
    if prediction.shape != truth.shape or prediction.dtype != np.uint8 or truth.dtype != np.uint8:
        raise ValueError(
            f"masks must be uint8 of one shape, found prediction {prediction.dtype} {prediction.shape}, "
            f"truth {truth.dtype} {truth.shape}"
        )
    rows, columns = truth.ravel(), prediction.ravel()
    changes = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    ends = np.append(np.flatnonzero(changes), rows.size - 1)[: rows.size]  # of runs of equal pairs, which are long
    counts = np.zeros((256, 256), np.int64)
    np.add.at(counts, (rows[ends], columns[ends]), np.diff(ends, prepend=-1))
    return counts
