"""Masks of a segmenter over scales with a dense CRF, beside a loop over views with pydensecrf2 called plainly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import refine
from benchmarks.frame import Case, Results
from benchmarks.made_photos import CLASSES, Photos, opened, photos, views
from benchmarks.refine import pydensecrf
from models.refiners.dense_crf import SegmentationCrf
from models.structures import Image
from stages.predict_masks import predict_masks

SCALES = (0.75, 1.0, 1.25)
SPML = {"gaussian": (1, 3), "bilateral": (67, 3, 4)}
"""Reach and weight of the Gaussian term; reach in pixels, in colour, and weight of the bilateral one."""


def pictures(images: int, height: int, width: int) -> Photos:
    """Made pictures; large weights of the classifier, so that several labels win somewhere."""
    x = photos("segmenter", images, height, width)
    x.network.head.classifier.weight.data.mul_(100)  # type: ignore[union-attr, operator]
    return x


def stage(x: Photos) -> Results:
    """``predict_masks``: an image and its mirror image together, channels last, batch norms in the convolutions; mean
    of the logits, dense CRF on all 21 labels.
    """
    samples = ((name, x.catalogue.image(name), None) for name in x.catalogue.ids("train"))
    masks = predict_masks(samples, x.network, scales=SCALES, flip=True, crf=SegmentationCrf("spml"))
    return {"masks": np.stack([mask for _, mask in masks])}


def loop(x: Photos) -> Results:
    """Each image, scale and mirror image alone through the network, contiguous float32; logits enlarged and averaged;
    pydensecrf2 with the same numbers on all 21 labels.

    Source: docs/methods/segmenter.md, docs/methods/dense_crf.md.
    """
    masks = []
    for name in x.catalogue.ids("train"):
        image = opened(x, name)
        probabilities = _mean_logits(x, image).softmax(0).numpy()
        picture = x.catalogue.image(name)
        masks.append(pydensecrf(picture, _unary(probabilities), **SPML).argmax(0).astype(np.uint8))
    return {"masks": np.stack(masks)}


@torch.no_grad()
def _mean_logits(x: Photos, image: Tensor) -> Tensor:
    """[1+C,H,W]."""
    total = torch.zeros(1 + len(CLASSES), *x.size)
    for view in views(image, SCALES):
        for mirrored in (False, True):
            logits = x.network.scores((view.flip(-1) if mirrored else view).contiguous())
            enlarged = F.interpolate(logits, x.size, mode="bilinear", align_corners=False)[0]
            total += enlarged.flip(-1) if mirrored else enlarged
    return total / (2 * len(SCALES))


@dataclass(frozen=True)
class Posteriors:
    """A picture [H,W,3] and probabilities [21,H,W] of which three labels have nearly all."""

    image: Image
    probabilities: np.ndarray


def posteriors(height: int, width: int) -> Posteriors:
    """Smooth scores of background and two classes; the other labels share a thousandth."""
    x = refine.inputs(height, width)
    probabilities = np.full((1 + len(CLASSES), height, width), 1e-3 / (len(CLASSES) - 2), np.float32)
    stack = np.concatenate([1 - x.scores.max(0, keepdims=True), x.scores])
    probabilities[[0, *refine.CLASSES]] = (1 - 1e-3) * stack / stack.sum(0)
    return Posteriors(x.image, probabilities)


def seen_labels(x: Posteriors) -> Results:
    """``SegmentationCrf`` with ``min_peak: 0.01``: labels that are nowhere likely are left out."""
    return {"labels": SegmentationCrf("spml", min_peak=0.01)(x.image, x.probabilities).argmax(0)}


def all_labels(x: Posteriors) -> Results:
    """pydensecrf2 with the same numbers on all 21 labels."""
    return {"labels": pydensecrf(x.image, _unary(x.probabilities), **SPML).argmax(0)}


def _unary(probabilities: np.ndarray) -> np.ndarray:
    energies = -np.log(np.clip(probabilities, 1e-5, 1)).reshape(len(probabilities), -1)
    return np.ascontiguousarray(energies, np.float32)


SIZE, QUICK = {"images": 2, "height": 375, "width": 500}, {"images": 1, "height": 60, "width": 80}
ONE, SMALL = {"height": 375, "width": 500}, {"height": 40, "width": 50}
CASES = {
    "stage": Case("Prediction, 3 scales, dense CRF, from files", pictures, stage, loop, SIZE, QUICK, 1e-2, 3),
    "seen": Case("Dense CRF, 3 of 21 labels seen", posteriors, seen_labels, all_labels, ONE, SMALL, 1e-2, 3),
}
