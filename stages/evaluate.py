"""evaluate: Masks or Cams against ground truth -> metrics and plot tables.

The scores of a chunk of the images can be made in another process (``score_masks``, ``score_cams``,
``score_cam_masks``) and merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.metrics.cam_sweep import PUBLISHED_THRESHOLDS, CamSweep
from models.metrics.confusion import ConfusionMatrix, Fractions, mean
from models.metrics.contour import BOUND_TH, ContourScore
from models.metrics.image_counts import COLUMNS, ImageCounts, beside, mask_counts
from models.ops.background import class_map, winner
from models.ops.resize import resize_bilinear
from models.options import NonNegative, Share, require
from models.structures import Cam, Mask


@dataclass(frozen=True, slots=True)
class Table:
    """A plot's numbers: named columns and rows of scalars."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics that JSON can hold (scores in percent, full precision), tables to plot, and counts of each image."""

    metrics: dict[str, Any]
    tables: dict[str, Table]
    images: tuple[ImageCounts, ...] = ()


class MaskScore:
    """Everything that is counted about masks; picklable, mergeable; some hundred bytes an image."""

    def __init__(self, class_names: Sequence[str], bound_th: float = BOUND_TH) -> None:
        """``class_names``: the C foreground classes."""
        self.class_names = tuple(class_names)
        self.images: list[ImageCounts] = []
        self.confusion = ConfusionMatrix(len(self.class_names))
        self.contour = ContourScore(len(self.class_names), bound_th)

    def update(self, prediction: Mask, truth: Mask) -> None:
        """Add one image; both uint8 [H,W]. ValueError for unequal shapes or labels that are no class."""
        image = ConfusionMatrix(len(self.class_names))
        boundary = self.contour.update(prediction, truth, image.update(prediction, truth))
        self.confusion.merge(image)
        self.images.append(beside(mask_counts(image), boundary))

    def merge(self, other: Self) -> Self:
        """Add what another chunk counted."""
        self.confusion.merge(other.confusion)
        self.contour.merge(other.contour)
        self.images += other.images
        return self

    @property
    def boundary_f(self) -> float:
        """Mean of the contours' F over the foreground classes that the truth shows; 0 where there is none."""
        return mean(np.where(self.confusion.in_truth[1:], self.contour.f(), np.nan))

    def evaluation(self) -> Evaluation:
        """Metrics of all the images so far.

        ``coverage`` is the share of the judged pixels that have a label; pixels at 254 or 255 (a pseudo-mask's ignore
        band) count as errors in everything but ``miou_covered``.
        """
        _require_images(len(self.images))
        metrics = {
            "images": len(self.images),
            **_confusion_metrics(self.confusion, self.class_names),
            "boundary_f": 100 * self.boundary_f,
            "coverage": 100 * self.confusion.coverage,
            "miou_covered": 100 * self.confusion.miou("truth", covered=True),
        }
        tables = {"confusion": confusion_table(self.confusion, self.class_names)}
        return Evaluation(metrics, tables, tuple(self.images))


class CamScore:
    """What is counted about CAMs in a first pass: the threshold sweep, and the masks at one fixed threshold.

    The best threshold is known when all parts are merged; a second pass (``score_cam_masks``) judges the masks there.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        fixed_threshold: float = 0.25,
        thresholds: Sequence[float] = PUBLISHED_THRESHOLDS,
        bound_th: float = BOUND_TH,
    ) -> None:
        """``fixed_threshold``: background score of ``miou_fixed`` and ``boundary_f_fixed`` (HFPL .25)."""
        self.sweep = CamSweep(len(class_names), thresholds)
        self.fixed_threshold = fixed_threshold
        self.fixed = MaskScore(class_names, bound_th)

    def update(self, cam: Cam, truth: Mask) -> None:
        """Add one image; the scores are upsampled bilinearly to the truth uint8 [H,W]. ValueError as for masks."""
        scores = _enlarged(cam, truth)
        self.sweep.update(cam.classes, scores, truth)
        self.fixed.update(class_map(winner(scores, self.fixed_threshold), cam.classes), truth)

    def merge(self, other: Self) -> Self:
        """Add what another chunk counted."""
        self.sweep.merge(other.sweep)
        self.fixed.merge(other.fixed)
        return self

    @property
    def best_threshold(self) -> float:
        """The background score of the best mIoU, the lowest of equal ones."""
        return float(self.sweep.thresholds[self.sweep.best("truth")])

    def evaluation(self, at_best: MaskScore) -> Evaluation:
        """Metrics of all the images so far.

        ``miou``, ``boundary_f`` and all others are at the best threshold, as are the counts of each image;
        ``miou_best`` says so by name. ``miou_fixed`` and ``boundary_f_fixed`` are at ``fixed_threshold``.

        Args:
            at_best: of the same images at :attr:`best_threshold`.
        """
        _require_images(len(self.fixed.images))
        names, curve = self.fixed.class_names, self.sweep.curve("truth")
        metrics = {
            "images": len(self.fixed.images),
            **_confusion_metrics(at_best.confusion, names),
            "boundary_f": 100 * at_best.boundary_f,
            "miou_best": 100 * float(curve.max()),
            "best_threshold": self.best_threshold,
            "miou_fixed": 100 * self.fixed.confusion.miou("truth"),
            "boundary_f_fixed": 100 * self.fixed.boundary_f,
            "fixed_threshold": self.fixed_threshold,
        }
        tables = {
            "confusion": confusion_table(at_best.confusion, names),
            "threshold_curve": curve_table(self.sweep.thresholds, curve),
        }
        return Evaluation(metrics, tables, tuple(at_best.images))


def score_masks(
    pairs: Iterable[tuple[str, Mask, Mask]], class_names: Sequence[str], *, bound_th: NonNegative = BOUND_TH
) -> MaskScore:
    """Count over (id, prediction, truth), to be merged with other chunks.

    Args:
        pairs: prediction and truth, uint8 [H,W] each.
        class_names: the C foreground classes.
        bound_th: how far two contours may be apart that match: a share of the image's diagonal, or pixels from 1 on.

    Raises:
        DataError: a mask of another size than its truth or with a label that is no class, named by its id.
        ConfigurationError: a number out of range.
    """
    require("evaluate", score_masks, {"bound_th": bound_th})
    score = MaskScore(class_names, bound_th)
    for name, prediction, truth in pairs:
        with _named(name):
            score.update(prediction, truth)
    return score


def score_cams(
    triples: Iterable[tuple[str, Cam, Mask]],
    class_names: Sequence[str],
    fixed_threshold: Share = 0.25,
    *,
    bound_th: NonNegative = BOUND_TH,
) -> CamScore:
    """Count over (id, cam, truth), to be merged with other chunks. Raises as :func:`score_masks`.

    Args:
        triples: CAM and truth uint8 [H,W].
        class_names: the C foreground classes.
        fixed_threshold: background score of ``miou_fixed`` and of ``boundary_f_fixed``.
        bound_th: as in :func:`score_masks`.
    """
    require("evaluate", score_cams, {"fixed_threshold": fixed_threshold, "bound_th": bound_th})
    score = CamScore(class_names, fixed_threshold, bound_th=bound_th)
    for name, cam, truth in triples:
        with _named(name):
            score.update(cam, truth)
    return score


def score_cam_masks(
    triples: Iterable[tuple[str, Cam, Mask]],
    class_names: Sequence[str],
    threshold: Share,
    *,
    bound_th: NonNegative = BOUND_TH,
) -> MaskScore:
    """Count over the masks of (id, cam, truth) at a background score of ``threshold``, to be merged with other chunks.

    Args and errors as :func:`score_cams`.
    """
    require("evaluate", score_cam_masks, {"threshold": threshold, "bound_th": bound_th})
    score = MaskScore(class_names, bound_th)
    for name, cam, truth in triples:
        with _named(name):
            score.update(class_map(winner(_enlarged(cam, truth), threshold), cam.classes), truth)
    return score


def confusion_table(confusion: ConfusionMatrix, class_names: Sequence[str]) -> Table:
    """One row per (actual, predicted) pair; "unlabelled" gathers predictions of 254 and 255."""
    names = ("background", *class_names)
    counts = np.column_stack([confusion.counts, confusion.missed])
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    rows = [
        (actual, predicted, int(counts[i, j]), 100 * float(share[i, j]))
        for i, actual in enumerate(names)
        for j, predicted in enumerate((*names, "unlabelled"))
    ]
    return Table(("actual", "predicted", "pixels", "percent_of_actual"), tuple(rows))


def image_table(ids: Sequence[str], images: Sequence[ImageCounts], class_names: Sequence[str]) -> Table:
    """Pixels and boundary pixels of each label in each image, in the order of ``ids``.

    Only the background and labels that an image or its prediction shows have a row; pixels at 255 in the truth count
    for boundaries alone. The background's boundary is not counted.
    """
    names = ("background", *class_names)
    rows = [
        (name, names[label], *counts)
        for name, image in zip(ids, images, strict=True)
        for label, counts in zip(image.labels.tolist(), image.counts.tolist(), strict=True)
    ]
    return Table(("image", "label", *COLUMNS), tuple(rows))


def curve_table(thresholds: Fractions, curve: Fractions) -> Table:
    """mIoU in percent against the background threshold."""
    rows = [(float(t), 100 * float(v)) for t, v in zip(thresholds, curve, strict=True)]
    return Table(("threshold", "miou"), tuple(rows))


def _confusion_metrics(confusion: ConfusionMatrix, class_names: Sequence[str]) -> dict[str, Any]:
    """Means are over the labels that the truth shows; ``classes`` has these, ``absent_classes`` names the others."""
    names, iou = ("background", *class_names), confusion.iou("truth")
    absent = [name for name, shown in zip(names, confusion.in_truth, strict=True) if not shown]
    return {
        "miou": 100 * mean(iou),
        "miou_absent_skip": 100 * confusion.miou("skip"),
        "miou_absent_zero": 100 * confusion.miou("zero"),
        "pixel_accuracy": 100 * confusion.pixel_accuracy,
        "precision": 100 * mean(confusion.precision("truth")),
        "recall": 100 * mean(confusion.recall("truth")),
        "classes": {name: 100 * float(v) for name, v in zip(names, iou, strict=True) if name not in absent},
        **({"absent_classes": ", ".join(absent)} if absent else {}),
    }


def _enlarged(cam: Cam, truth: Mask) -> npt.NDArray[np.float32]:
    """The scores [K,H,W], upsampled bilinearly to the truth uint8 [H,W]. ValueError: it is of another image."""
    if truth.shape != tuple(cam.size):
        raise ValueError(f"the CAM is of an image {cam.size}, the truth is {truth.shape}")
    return resize_bilinear(cam.scores, cam.size)


@contextmanager
def _named(image: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise DataError(
            f"Image '{image}' cannot be evaluated: {error}. Make its masks again from this data set."
        ) from error


def _require_images(images: int) -> None:
    if not images:
        raise DataError("Nothing to evaluate: expected at least one image with a ground-truth mask, found none.")
