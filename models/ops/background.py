"""From foreground-only maps to labels: the background's score, who wins, and the names of the winners (numpy)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError
from models.ops.resize import resize_bilinear
from models.structures import Cam, Mask

Scores = npt.NDArray[np.float32]


def power_background(scores: Scores, alpha: float) -> Scores:
    """``(1 - max)^alpha``: background where no class is active; a larger ``alpha`` leaves less of it.

    Args:
        scores: float32 [K,H,W] in [0,1], K >= 1.
        alpha: 4 to 32 in PSA and SEAM, 1 and 24 in HFPL.

    Returns:
        float32 [H,W] in [0,1].
    """
    background: Scores = np.power(1 - scores.max(0), np.float32(alpha))
    return background


def complement_background(scores: Scores) -> Scores:
    """``1 - sum``, what is left for background where the scores are posteriors: float32 [H,W] in [0,1]."""
    background: Scores = np.maximum(1 - scores.sum(0, dtype=np.float32), 0)
    return background


def winner(scores: Scores, background: Scores | float) -> npt.NDArray[np.intp]:
    """Argmax of ``[background; scores]``: 0 background, k + 1 where map k wins; ties go to the first.

    Args:
        scores: float32 [K,H,W]; with K = 0 everything is background.
        background: float32 [H,W] or a constant, compared in float32.

    Returns:
        int [H,W], 0..K.
    """
    if not len(scores):
        return np.zeros(scores.shape[1:], np.intp)
    best = scores[0] if len(scores) == 1 else scores.max(0)
    index = 1 if len(scores) == 1 else scores.argmax(0) + 1
    return np.where(best > np.asarray(background, np.float32), index, 0)


def class_map(winners: npt.NDArray[np.intp], classes: npt.NDArray[np.int64]) -> Mask:
    """Class numbers in place of positions: 0..K of :func:`winner` to uint8 [H,W] of 0 and ``classes`` [K]."""
    names: Mask = np.array([0, *classes], np.uint8)
    return names[winners]


def tagged(cam: Cam, tags: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], Scores]:
    """The classes [K] of a CAM that have a tag in ``tags`` bool [C], and their scores at image size [K,H,W]."""
    if cam.classes.max(initial=0) > len(tags):
        raise ValueError(f"the CAM has class {cam.classes.max()}, but there are only {len(tags)} classes")
    kept = np.asarray(tags, np.bool_)[cam.classes - 1] if len(cam.classes) else np.zeros(0, np.bool_)
    return cam.classes[kept], resize_bilinear(cam.scores[kept], cam.size)


def check_band(rule: str, high: float, low: float) -> None:
    """Refuse a band of unsure pixels that is upside down (ConfigurationError)."""
    if low > high:
        raise ConfigurationError(f"{rule}.low: expected at most high ({high}), found {low}.")
