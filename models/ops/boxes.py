"""Class activation maps within boxes (numpy)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.ops.background import Scores
from models.ops.resize import resize_bilinear
from models.structures import Cam

INSIDE = 0.01
"""Least score within a box, so that it can be told from what lies outside of all."""


def within_boxes(cam: Cam, boxes: npt.NDArray[np.float32], classes: npt.NDArray[np.int64]) -> Cam:
    """Stretch the scores of each box's class to [0.01,1] within the box; outside of a class's boxes they are 0.

    With the rule ``two_threshold`` (high 0.5, low 0, unsure 254) these are SPML's seeds for boxes: the upper half is
    the class, the rest of the box unlabelled, and what lies in no box background.

    Args:
        cam: of the image, at any grid.
        boxes: float32 [N,4] XYXY in pixels. classes: int64 [N], 1..C.

    Returns:
        A Cam at image size.

    Source: docs/methods/spml.md, section 7 (the script that makes these labels is not published).
    """
    scores = resize_bilinear(cam.scores, cam.size)
    kept = np.zeros_like(scores)
    place = {int(class_): row for row, class_ in enumerate(cam.classes)}
    for (x1, y1, x2, y2), class_ in zip(boxes, classes, strict=True):
        if int(class_) in place:
            window = (place[int(class_)], slice(int(y1), int(np.ceil(y2))), slice(int(x1), int(np.ceil(x2))))
            kept[window] = np.maximum(kept[window], _stretched(scores[window]))
    return replace(cam, scores=kept)


def _stretched(part: Scores) -> Scores:
    if not part.size:
        return part
    low, high = part.min(), part.max()
    stretched: Scores = (part - low) / (high - low) if high > low else np.ones_like(part)
    return np.maximum(stretched, np.float32(INSIDE))
