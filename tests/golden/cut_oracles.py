"""Cut one small case of each large fixture into this folder.

python tests/golden/cut_oracles.py FOLDER_OF_THE_FIXTURES

What no kept result reads is made constant or left out, so that the files stay small; what is read stays as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
FOLDER = Path(__file__).parent
CASES = {
    "hfpl_fsl": 6,
    "hfpl_isl": 1,
    "icam_isl": 1,
    "hfpl_step": 1,
    "seam_pcm": 1,
    "seam_pieces": 1,
    "seam_step": 2,
    "ppc_contrast": 1,
    "pixelssl_rcm_mam": 1,
    "balanced_mask_ce": 2,
    "spml_init_clusters": 1,
    "spml_kmeans": 2,
    "spml_prototypes": 1,
    "spml_losses": 2,
    "spml_terms": 1,
    "spml_topk": 1,
    "spml_multiset": 2,
}
SINGLE = ("hfpl_step", "seam_step", "ppc_contrast")
"""Those without results in float64."""
DOUBLE = ("spml_losses", "spml_terms")
"""Those without gradients in float32, which cancel there; of the losses two concentrations are kept."""


def cut(path: Path, index: int) -> Arrays:
    """Case ``index`` of a fixture, without the head of its keys."""
    head = f"c{index}."
    with np.load(path) as arrays:
        return {key.removeprefix(head): arrays[key] for key in arrays.files if key.startswith((head, "meta."))}


def without_denied_refined(case: Arrays) -> None:
    """Refined maps of classes without a tag meet the tag's 0 in every loss of a step."""
    for name in ("in.cam_rv1", "in.cam_rv2"):
        case[name][:, 1:][case["in.label"] == 0] = 0


def contrast(case: Arrays) -> None:
    """A map without a tag matters at its extrema and where it makes prototypes: elsewhere it gets its minimum.

    Only ``norm_cam`` reads more. Gradients are left out for their size: targets without gradient have a test by hand.
    """
    for key in list(case):
        if key.startswith(("grad.", "out.norm_cam")):
            del case[key]
            case.pop(f"err.{key}", None)
    for view in "12":
        maps = case[f"in.cam_rv{view}_down"]
        images, channels, height, width = maps.shape
        flat = maps.reshape(images, channels, -1)
        ranked = np.argsort(-_normalised(flat).transpose(1, 0, 2).reshape(channels, -1), axis=1, kind="stable")
        for image, channel in np.ndindex(images, channels):
            values = flat[image, channel].clip(min=0)
            if channel and case["in.label"][image, channel - 1]:
                continue
            picked = np.concatenate([ranked[channel, :32], case[f"aux.proto_pixels{view}"][channel]])
            here = picked[picked // (height * width) == image] % (height * width)
            read = np.union1d(here, [values.argmax()]) if channel else []
            thinned = np.full_like(values, values.min())
            thinned[np.asarray(read, int)] = values[np.asarray(read, int)]
            flat[image, channel] = thinned


def _normalised(maps: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    positive = maps.clip(min=0)
    low, high = positive.min(2, keepdims=True), positive.max(2, keepdims=True)
    eps = np.float32(1e-5)
    scores: npt.NDArray[np.float32] = (np.where(positive < low + eps, 0, positive) - low - eps) / (high - low + eps)
    return scores


def main(fixtures: Path) -> None:
    for name, index in CASES.items():
        case = cut(fixtures / f"{name}.npz", index)
        if name in SINGLE:
            case = {key: value for key, value in case.items() if not key.startswith(("out64.", "grad64."))}
        if name in DOUBLE:
            dropped = ("grad.", "err.grad.")
            case = {k: v for k, v in case.items() if not k.startswith(dropped) and "_k6" not in k and "_k12" not in k}
        if name == "ppc_contrast":
            contrast(case)
        elif name.endswith("_step"):
            without_denied_refined(case)
        case["meta.n_cases"] = np.array(1)
        keyed = {key if key.startswith("meta.") else f"c0.{key}": value for key, value in case.items()}
        np.savez_compressed(FOLDER / f"{name}.npz", **keyed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
