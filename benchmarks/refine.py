"""Dense CRF beside pydensecrf2 called plainly, and the threshold sweep beside one argmax for each threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage.filters import gaussian
from torch.nn import functional as F

from benchmarks.frame import Case, Results
from models.metrics.cam_sweep import PUBLISHED_THRESHOLDS, CamSweep
from models.refiners.dense_crf import DenseCrf, MeanField, crf_settings
from models.structures import Cam, Image, Mask

CLASSES = np.array([3, 7])
ALL_CLASSES = 20


@dataclass(frozen=True)
class Inputs:
    """A picture [H,W,3], a CAM, its scores [2,H,W] at image size, an unary [3,H*W], and a truth [H,W]."""

    image: Image
    cam: Cam
    scores: np.ndarray
    unary: np.ndarray
    truth: Mask


def inputs(height: int, width: int) -> Inputs:
    """Smooth noise with edges, so that the lattice has about as many vertices as for a photograph."""
    rng, size = np.random.default_rng(0), (height, width)
    field = gaussian(rng.random((*size, 3)), 6, channel_axis=2)
    field = (field - field.min()) / np.ptp(field)
    image = (255 * np.where(field > 0.55, field, 0.5 * field)).astype(np.uint8)
    cam = Cam(CLASSES, rng.random((2, 24, 32), dtype=np.float32), size)
    scores = enlarged(cam)
    truth = np.array([0, *CLASSES], np.uint8)[rng.integers(3, size=size)]
    return Inputs(image, cam, scores, unary_of(scores), truth)


def crf(x: Inputs) -> Results:
    """The refiner ``dense_crf``: scores enlarged by numpy, unary, mean field, and the checks of a refiner."""
    return {"scores": DenseCrf("psa")(x.image, x.cam).scores}


def crf_plain(x: Inputs) -> Results:
    """CAM enlarged by torch, unary -log [(1 - max)^4 ; cam], pydensecrf2 with PSA's numbers, all from the same CAM.

    Source: docs/methods/dense_crf.md.
    """
    return {"scores": pydensecrf(x.image, unary_of(enlarged(x.cam)))[1:]}


def mean_field(x: Inputs) -> Results:
    """``MeanField``: what all CRFs of the project call, from the unary on."""
    return {"posterior": MeanField(x.image, len(x.unary), crf_settings("psa"))(x.unary)}


def mean_field_plain(x: Inputs) -> Results:
    """Calls of pydensecrf2 and nothing else, from the same unary on."""
    return {"posterior": pydensecrf(x.image, x.unary)}


def pydensecrf(
    image: Image,
    unary: np.ndarray,
    gaussian: tuple[float, float] = (3, 3),
    bilateral: tuple[float, float, float] = (80, 13, 10),
) -> np.ndarray:
    """Posterior float32 [L,H,W] of the unary [L,H*W], after ten steps. Defaults: PSA's numbers.

    Args:
        gaussian: reach in pixels and weight of the Gaussian term; ``bilateral``: reach in pixels, in levels of colour,
            and weight.
    """
    from pydensecrf.densecrf import DenseCRF2D

    model = DenseCRF2D(image.shape[1], image.shape[0], len(unary))
    model.setUnaryEnergy(unary)
    model.addPairwiseGaussian(sxy=gaussian[0], compat=gaussian[1])
    model.addPairwiseBilateral(sxy=bilateral[0], srgb=bilateral[1], rgbim=image, compat=bilateral[2])
    return np.array(model.inference(10)).reshape(-1, *image.shape[:2])


def enlarged(cam: Cam) -> np.ndarray:
    """Scores float32 [K,H,W] at image size."""
    return F.interpolate(torch.from_numpy(cam.scores)[None], cam.size, mode="bilinear", align_corners=False)[0].numpy()


def unary_of(scores: np.ndarray) -> np.ndarray:
    """float32 [1+K,H*W] for scores [K,H,W] in [0,1]."""
    stack = np.concatenate([(1 - scores.max(0, keepdims=True)) ** 4, scores])
    return np.ascontiguousarray(-np.log(np.clip(stack, 1e-5, 1)).reshape(len(stack), -1), np.float32)


def sweep(x: Inputs) -> Results:
    """One histogram over (truth, best class, thresholds below the score), from which all confusions follow."""
    counted = CamSweep(ALL_CLASSES)
    counted.update(CLASSES, x.scores, x.truth)
    return {"counts": np.stack([counted.confusion(i).counts for i in range(len(PUBLISHED_THRESHOLDS))])}


def sweep_by_argmax(x: Inputs) -> Results:
    """An argmax over [threshold ; scores] and a confusion matrix for each of the 60 thresholds.

    Source: jiwoon-ahn/irn@a2ece00:step/eval_cam.py.
    """
    labels, names = 1 + ALL_CLASSES, np.array([0, *CLASSES])
    counts = []
    for threshold in PUBLISHED_THRESHOLDS:
        background = np.full_like(x.scores[:1], threshold)
        predicted = names[np.concatenate([background, x.scores]).argmax(0)]
        pairs = labels * x.truth.ravel().astype(np.int64) + predicted.ravel()
        counts.append(np.bincount(pairs, minlength=labels * labels).reshape(labels, labels))
    return {"counts": np.stack(counts)}


SIZE, QUICK = {"height": 375, "width": 500}, {"height": 40, "width": 50}
CASES = {
    "dense_crf": Case("Dense CRF from the CAM, 3 labels", inputs, crf, crf_plain, SIZE, QUICK, tolerance=1e-3),
    "mean_field": Case(
        "Dense CRF from the unary, 3 labels", inputs, mean_field, mean_field_plain, SIZE, QUICK, tolerance=1e-6
    ),
    "sweep": Case("60 background thresholds", inputs, sweep, sweep_by_argmax, SIZE, QUICK, tolerance=0),
}
