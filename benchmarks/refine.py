"""The dense-CRF refiner beside pydensecrf alone, and the threshold sweep beside one argmax a threshold, in one run.

python -m benchmarks.refine          (a made picture of 375x500 pixels, two classes)
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from skimage.filters import gaussian

from models.metrics.cam_sweep import PUBLISHED_THRESHOLDS, CamSweep
from models.ops.resize import resize_bilinear
from models.refiners.crf_unary import unary_from_scores
from models.refiners.dense_crf import DenseCrf, crf_settings
from models.structures import Cam, Image

SIZE = (375, 500)
CLASSES = np.array([3, 7])


def picture(rng: np.random.Generator) -> Image:
    """Smooth noise with edges, so that the lattice has about as many vertices as for a photograph."""
    field = gaussian(rng.random((*SIZE, 3)), 6, channel_axis=2)
    field = (field - field.min()) / np.ptp(field)
    return (255 * np.where(field > 0.55, field, 0.5 * field)).astype(np.uint8)


def pydensecrf_alone(image: Image, unary: np.ndarray) -> np.ndarray:
    from pydensecrf.densecrf import DenseCRF2D

    s = crf_settings("psa")
    crf = DenseCRF2D(SIZE[1], SIZE[0], len(unary))
    crf.setUnaryEnergy(unary)
    crf.addPairwiseGaussian(sxy=s.gaussian_sxy, compat=s.gaussian_compat)
    crf.addPairwiseBilateral(sxy=s.bilateral_sxy, srgb=s.bilateral_srgb, rgbim=image, compat=s.bilateral_compat)
    return np.array(crf.inference(s.iterations))


def argmax_sweep(scores: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    names = np.array([0, *CLASSES])
    counts = []
    for threshold in PUBLISHED_THRESHOLDS:
        predicted = names[np.concatenate([np.full((1, *SIZE), threshold), scores]).argmax(0)]
        counts.append(np.bincount(21 * truth.ravel().astype(np.int64) + predicted.ravel(), minlength=441))
    return counts


def seconds(run: Callable[[], object], times: int = 5) -> float:
    run()
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    rng = np.random.default_rng(0)
    image = picture(rng)
    cam = Cam(CLASSES, rng.random((2, 24, 32), dtype=np.float32), SIZE)
    scores = resize_bilinear(cam.scores, SIZE)
    unary = np.ascontiguousarray(unary_from_scores(scores, 4.0), np.float32)
    truth = np.array([0, *CLASSES], np.uint8)[rng.integers(3, size=SIZE)]
    sweep = CamSweep(20)
    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("dense CRF, 3 labels", lambda: DenseCrf()(image, cam), lambda: pydensecrf_alone(image, unary)),
        ("sweep of 60 thresholds", lambda: sweep.update(CLASSES, scores, truth), lambda: argmax_sweep(scores, truth)),
    ]
    for name, ours, plain in pairs:
        a, b = seconds(ours), seconds(plain)
        print(f"{name}: {1000 * a:.1f} ms, plain {1000 * b:.1f} ms, ratio {b / a:.2f}")


if __name__ == "__main__":
    main()
