"""Class activation maps within boxes, and the boxes of what stands out in them (numpy)."""

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


EIGHT = np.ones((3, 3))
"""Neighbours at sides and corners."""


def contour_boxes(scores: Scores, threshold: float) -> npt.NDArray[np.int64]:
    """Boxes of the contours of what is above a share of a map's maximum, those of holes too.

    The map is cut to 255 steps first, and so is the level. Right and bottom edges end at the last column and row, as
    published: a box never holds these.

    Args:
        scores: [h,w] in [0,1].
        threshold: share of the maximum.

    Returns:
        int64 [N,4] XYXY in cells, right and bottom exclusive, in no particular order; one of zeros for a map without
        anything above the level.

    Source: linyq2117/CLIP-ES@3893f81:utils.py (scoremap2bbox).
    """
    from scipy import ndimage  # here: the check of a book has no need of it

    levels = (scores * np.float32(255)).astype(np.uint8)
    above = np.pad(levels > int(threshold * float(levels.max())), 1)
    pieces, _ = ndimage.label(above, EIGHT)
    rest, _ = ndimage.label(~above)  # the outside is its first piece: it touches the first pixel
    found = [(piece, 0) for piece in ndimage.find_objects(pieces)]
    found += [(hole, 1) for hole in ndimage.find_objects(rest)[1:]]  # a contour runs over the pixels around a hole
    if not above.any():
        return np.zeros((1, 4), np.int64)
    boxes = [(x.start - more, y.start - more, x.stop + more, y.stop + more) for (y, x), more in found]
    height, width = scores.shape
    return np.minimum(np.array(boxes, np.int64) - 1, [width, height, width - 1, height - 1])


def box_mask(scores: Scores, threshold: float) -> npt.NDArray[np.bool_]:
    """What lies in any of the :func:`contour_boxes` of a map: bool [h,w]."""
    mask = np.zeros(scores.shape, np.bool_)
    for x1, y1, x2, y2 in contour_boxes(scores, threshold):
        mask[y1:y2, x1:x2] = True
    return mask
