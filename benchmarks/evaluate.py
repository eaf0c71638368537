"""Masks against the truth, from files to mIoU and boundary F, beside a loop over pictures as Pillow opens them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image as PILImage
from scipy import ndimage
from skimage.morphology import disk

from benchmarks.frame import Case, Results
from models.metrics.confusion import ConfusionMatrix
from models.metrics.contour import ContourScore
from models.structures import IGNORE, Mask
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.datasets.ground_truth import GroundTruth, ImageTruth
from pipeline.datasets.toy_scenes import make_scene
from pipeline.storage.stores import Header, MaskStore
from stages.evaluate import MaskScore, score_masks

CLASSES = tuple(f"class_{number}" for number in range(1, 21))
LABELS = 1 + len(CLASSES)
VOID_RING, SHIFT, BOUND = 2, 6, 0.008


@dataclass(frozen=True)
class Inputs:
    """Predictions and truths, uint8 [H,W], and the same as files: a store, PNGs, and the catalogue of the truth."""

    folder: TemporaryDirectory[str]
    catalogue: Catalogue
    predictions: list[Mask]
    truths: list[Mask]

    @property
    def place(self) -> Path:
        """Where the files lie; they go with the last that knows the folder."""
        return Path(self.folder.name)


def inputs(images: int, height: int, width: int) -> Inputs:
    """Scenes of animals with a void ring around each; predictions are a few pixels off and mistake some for others."""
    scenes = [make_scene(np.random.default_rng((0, k)), max(height, width), max(height, width)) for k in range(images)]
    drawn = [scene.mask[:height, :width] for scene in scenes]
    predictions = [np.roll(mask, SHIFT, (0, 1)) for mask in drawn]
    for k, mask in enumerate(predictions):
        if k % 4 == 0:
            mask[(mask > 0) & (np.arange(width) > width // 2)] = 1 + k % len(CLASSES)
    folder: TemporaryDirectory[str] = TemporaryDirectory()
    names = tuple(f"img_{k:05d}" for k in range(images))
    images_of = {name: CatalogueImage(name, f"{name}.jpg", (height, width)) for name in names}
    catalogue = Catalogue("made", CLASSES, {"val": names}, images_of)
    x = Inputs(folder, catalogue, predictions, [_ringed(mask) for mask in drawn])
    for name, prediction, truth in zip(names, x.predictions, x.truths, strict=True):
        PILImage.fromarray(prediction).save(x.place / f"{name}_prediction.png")
        PILImage.fromarray(truth).save(x.place / f"{name}.png")
    GroundTruth.save(x.place, ".", {name: ImageTruth(f"{name}.png") for name in names})
    writer = MaskStore.create(x.place / "masks", Header(names, ((height, width),) * images, CLASSES, catalogue.digest))
    for k in range(writer.count):
        writer.write(k, x.predictions[k * writer.shard_size : (k + 1) * writer.shard_size])
    writer.finish()
    return x


def _ringed(mask: Mask) -> Mask:
    """A void ring where labels meet, as VOC's annotators draw it."""
    low, high = (extreme(mask, 1 + 2 * VOID_RING) for extreme in (ndimage.minimum_filter, ndimage.maximum_filter))
    return np.where(low == high, mask, IGNORE).astype(np.uint8)


def stage(x: Inputs) -> Results:
    """What the stage does with a chunk of images: masks from a store, truth through its door, one pass over each."""
    store, truth = MaskStore(x.place / "masks"), GroundTruth(x.catalogue, x.place)
    pairs = ((name, mask, truth.mask(name)) for name, mask in store.items(store.ids))
    return _scores(score_masks(pairs, CLASSES))


def _scores(score: MaskScore) -> Results:
    return {"counts": score.confusion.counts, "iou": score.confusion.iou(), "f": score.contour.f()}


def loop(x: Inputs) -> Results:
    """Both files of an image opened by Pillow, a confusion matrix by ``bincount``, and for each class both contours,
    dilated by scipy with a disk.

    Source: docs/methods/evaluation.md, sections 1 and 3.
    """
    counts, totals = np.zeros((LABELS, LABELS), np.int64), np.zeros((4, LABELS - 1), np.int64)
    for name in x.catalogue.entries:
        prediction = np.asarray(PILImage.open(x.place / f"{name}_prediction.png"))
        truth = np.asarray(PILImage.open(x.place / f"{name}.png"))
        counts += _confusion(prediction, truth)
        totals += _matches(prediction, truth)
    hits = counts.diagonal()
    iou = hits / (counts.sum(0) + counts.sum(1) - hits + 1e-10)
    return {"counts": counts, "iou": iou, "f": _f(totals)}


def confusion(x: Inputs) -> Results:
    """``ConfusionMatrix``: runs of equal pairs are counted at once, as labels lie in regions."""
    counted = ConfusionMatrix(len(CLASSES))
    for prediction, truth in zip(x.predictions, x.truths, strict=True):
        counted.update(prediction, truth)
    return {"counts": counted.counts}


def confusion_plain(x: Inputs) -> Results:
    """``bincount`` over all pixels with a truth."""
    return {"counts": sum(_confusion(*pair) for pair in zip(x.predictions, x.truths, strict=True))}


def contours(x: Inputs) -> Results:
    """``ContourScore``: the part of the picture with a contour, whose pixels are moved 64 at a time."""
    score = ContourScore(len(CLASSES), BOUND)
    for prediction, truth in zip(x.predictions, x.truths, strict=True):
        score.update(prediction, truth)
    return {"f": score.f()}


def contours_plain(x: Inputs) -> Results:
    """Both contours of each class that an image shows, dilated by scipy with a disk.

    Source: docs/methods/evaluation.md, section 3.
    """
    return {"f": _f(sum(_matches(*pair) for pair in zip(x.predictions, x.truths, strict=True)))}


def _confusion(prediction: Mask, truth: Mask) -> np.ndarray:
    judged = truth < LABELS
    pairs = LABELS * truth[judged].astype(np.int64) + prediction[judged]
    return np.bincount(pairs, minlength=LABELS**2).reshape(LABELS, LABELS)


def _matches(prediction: Mask, truth: Mask) -> np.ndarray:
    """Matched and all boundary pixels of prediction and truth, [4,C]."""
    around = disk(int(np.ceil(BOUND * np.hypot(*truth.shape))))
    totals = np.zeros((4, LABELS - 1), np.int64)
    for label in set(np.unique(prediction)) | set(np.unique(truth)):
        if 1 <= label < LABELS:
            mine, theirs = _edges(prediction == label), _edges(truth == label)
            matched = mine & ndimage.binary_dilation(theirs, around), theirs & ndimage.binary_dilation(mine, around)
            totals[:, label - 1] = [part.sum() for part in (*matched, mine, theirs)]
    return totals


def _edges(mask: np.ndarray) -> np.ndarray:
    right, below, beyond = mask.copy(), mask.copy(), mask.copy()
    right[:, :-1], below[:-1], beyond[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    edges = (mask ^ right) | (mask ^ below) | (mask ^ beyond)
    edges[-1], edges[:, -1] = (mask ^ right)[-1], (mask ^ below)[:, -1]
    edges[-1, -1] = False
    return edges


def _f(totals: np.ndarray) -> np.ndarray:
    matched, all_of_them = totals[:2], totals[2:]
    precision, recall = np.where(all_of_them > 0, matched / np.maximum(all_of_them, 1), 1)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


SIZE, QUICK = {"images": 24, "height": 375, "width": 500}, {"images": 2, "height": 60, "width": 80}
CASES = {
    "masks": Case("Masks: mIoU and boundary F, from files", inputs, stage, loop, SIZE, QUICK, 1e-9),
    "confusion": Case("Masks: confusion matrix", inputs, confusion, confusion_plain, SIZE, QUICK, 0),
    "contours": Case("Masks: boundary F", inputs, contours, contours_plain, SIZE, QUICK, 1e-9, repetitions=3),
}
