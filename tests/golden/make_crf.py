"""Make the dense-CRF fixtures of this folder: library calls alone, on pictures drawn here.

python tests/golden/make_crf.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydensecrf import densecrf, utils

Array = npt.NDArray[Any]
FOLDER = Path(__file__).parent


def picture(rng: np.random.Generator, height: int, width: int) -> tuple[Array, Array]:
    """A noisy bright disk on a darker slope, uint8 [H,W,3], and the disk's distance field in [0,1]."""
    y, x = np.mgrid[:height, :width]
    near = np.exp(-((y - height * 0.45) ** 2 + (x - width * 0.55) ** 2) / (0.09 * height * width))
    colour = np.where((near > 0.5)[..., None], (200, 140, 60), (60 + 40 * x / width)[..., None])
    return np.clip(colour + rng.normal(0, 9, (height, width, 3)), 0, 255).astype(np.uint8), near


def cams(rng: np.random.Generator, near: Array, count: int) -> Array:
    """``count`` coarse activation maps, float32 [K,H,W] in [0,1)."""
    maps = [
        np.clip(np.roll(near, 3 * k, 1) * (1 - 0.2 * k) + rng.normal(0, 0.05, near.shape), 0, 0.999)
        for k in range(count)
    ]
    return np.stack(maps).astype(np.float32)


def infer(image: Array, unary: Array, par: dict[str, float]) -> Array:
    """Posterior [L,H,W] by the library."""
    crf = densecrf.DenseCRF2D(image.shape[1], image.shape[0], len(unary))
    crf.setUnaryEnergy(np.ascontiguousarray(unary))
    crf.addPairwiseGaussian(sxy=par["gauss_sxy"], compat=par["gauss_compat"])
    crf.addPairwiseBilateral(sxy=par["bil_sxy"], srgb=par["bil_srgb"], rgbim=image, compat=par["bil_compat"])
    return np.array(crf.inference(par["iterations"])).reshape(len(unary), *image.shape[:2])


def numbers(gauss_sxy: int, bil_sxy: int, bil_srgb: int, bil_compat: int, iterations: int) -> dict[str, float]:
    """Parameters under the fixtures' names."""
    return {
        "gauss_sxy": gauss_sxy,
        "gauss_compat": 3,
        "bil_sxy": bil_sxy,
        "bil_srgb": bil_srgb,
        "bil_compat": bil_compat,
        "iterations": iterations,
    }


def prob_case(rng: np.random.Generator, height: int, width: int, count: int, alpha: float) -> dict[str, Array]:
    image, near = picture(rng, height, width)
    cam, par = cams(rng, near, count), numbers(3, 80, 13, 10, 10)
    unary = utils.unary_from_softmax(np.concatenate([(1 - cam.max(0, keepdims=True)) ** np.float32(alpha), cam]))
    extra = {"alpha": alpha, "normalised": 0, "clip": 1e-5}
    return keys(
        inputs={"image": image, "cam": cam}, par={**par, **extra}, out={"unary": unary, "q": infer(image, unary, par)}
    )


def label_case(rng: np.random.Generator, height: int, width: int, count: int) -> dict[str, Array]:
    image, near = picture(rng, height, width)
    cam, par = cams(rng, near, count), numbers(3, 50, 5, 10, 10)
    classes, found = np.array([0, *sorted(rng.choice(np.arange(1, 21), count, replace=False))]), {}
    for name, threshold in (("fg", 0.5), ("bg", 0.15)):
        start = np.concatenate([np.full((1, height, width), threshold, np.float32), cam]).argmax(0)
        unary = utils.unary_from_labels(start, count + 1, gt_prob=0.7, zero_unsure=False)
        posterior = infer(image, unary, par)
        found |= {f"start_{name}": start, f"unary_{name}": unary, f"q_{name}": posterior}
        found[f"{name}_conf"] = classes[posterior.argmax(0)]
    sure, maybe = found["fg_conf"], found["bg_conf"]
    found["ir_label"] = np.where(sure > 0, sure, np.where(maybe > 0, 255, 0))
    del found["unary_bg"], found["q_bg"]
    extra = {"fg_threshold": 0.5, "bg_threshold": 0.15, "gt_prob": 0.7}
    return keys(inputs={"image": image, "cam": cam, "keys": classes}, par={**par, **extra}, out=found)


def other_case(rng: np.random.Generator, height: int, width: int, par: dict[str, float]) -> dict[str, Array]:
    image, near = picture(rng, height, width)
    scores = np.concatenate([np.full((1, height, width), 0.4, np.float32), cams(rng, near, 2)])
    prob = np.exp(4 * scores) / np.exp(4 * scores).sum(0)
    return keys(
        inputs={"image": image, "prob": prob}, par=par, out={"q": infer(image, utils.unary_from_softmax(prob), par)}
    )


def keys(inputs: dict[str, Any], par: dict[str, Any], out: dict[str, Any]) -> dict[str, Array]:
    """The fixtures' key scheme, without the case's number; integers as int64."""
    named = {
        f"{group}.{k}": np.asarray(v) for group, d in (("in", inputs), ("par", par), ("out", out)) for k, v in d.items()
    }
    return {k: v.astype(np.int64) if v.dtype.kind in "iu" else v for k, v in named.items()}


def save(name: str, cases: list[dict[str, Array]]) -> None:
    arrays = {f"c{i}.{k}": v for i, case in enumerate(cases) for k, v in case.items()}
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays, **{"meta.n_cases": len(cases), "meta.kind": "reference"})


if __name__ == "__main__":
    rng = np.random.default_rng(20)
    save("crf_prob", [prob_case(rng, 18, 23, 1, 4.0), prob_case(rng, 21, 17, 2, 24.0)])
    save("crf_label", [label_case(rng, 22, 27, 2)])
    save(
        "crf_other",
        [other_case(rng, 17, 21, numbers(1, 67, 3, 4, 10)), other_case(rng, 21, 17, numbers(3, 32, 13, 10, 1))],
    )
