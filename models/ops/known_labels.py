"""What pixels of a known class say of others: of CAMs, of the regions they lie in (numpy)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.ops.resize import resize_bilinear
from models.structures import UNLABELLED, Cam, Mask


def with_labels(cam: Cam, seeds: Mask) -> Cam:
    """Give each labelled pixel the score 1 for its class and 0 for the others; on background 0 for all.

    Clicks rarely say where the background is. With the rule ``two_threshold`` the CAM says it, and what people
    clicked is kept.

    Args:
        cam: of the image, at any grid.
        seeds: uint8 [H,W], 0 background, 1..C, 254 unlabelled, 255 void; the last two change nothing.

    Returns:
        A Cam at image size. A class that the CAM lacks cannot be told: its pixels get 0 for all classes.
    """
    scores = np.array(resize_bilinear(cam.scores, cam.size))
    scores[:, seeds < UNLABELLED] = 0
    for row, class_ in enumerate(cam.classes):
        scores[row, seeds == class_] = 1
    return replace(cam, scores=scores)


def filled_regions(seeds: Mask, regions: npt.NDArray[np.int32]) -> Mask:
    """Unlabelled pixels take the label of their region, where its labelled pixels are of one class.

    Args:
        seeds: uint8 [H,W], 0 background, 1..C, 254 unlabelled, 255 void, which stays void.
        regions: int32 [H,W], ids from 0.
    """
    known = seeds < UNLABELLED
    pairs = np.unique(np.stack([regions[known], seeds[known]]), axis=1)
    numbers, first, classes = np.unique(pairs[0], return_index=True, return_counts=True)
    label = np.full(int(regions.max(initial=0)) + 1, UNLABELLED, np.uint8)
    label[numbers[classes == 1]] = pairs[1, first[classes == 1]]
    return np.where(seeds == UNLABELLED, label[regions], seeds)
