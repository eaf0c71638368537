"""SEPL (Chen et al. 2023): labels take the shape of class-agnostic masks, and what no mask covers stays as it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.structures import BACKGROUND, UNLABELLED, Mask

Masks = npt.NDArray[np.bool_]
"""bool [M,H,W]: proposals, which may overlap."""


def merge_proposals(
    labels: Mask, masks: Masks, inside: float = 0.5, covered: float | None = 0.85, keep_uncovered: bool = True
) -> tuple[Mask, npt.NDArray[np.int64]]:
    """SEPL as published: class by class, over the masks that earlier classes have left.

    A class accepts a mask that lies in its pixels by more than ``inside``, or that holds at least ``covered`` of them.
    Its area becomes the union of these masks, and those of its pixels that no mask it could choose from covers. Later
    classes are painted over earlier ones, and everything else is background.

    Args:
        labels: uint8 [H,W]; 0 background, 1..C classes; 254 and 255 become background.
        masks: bool [M,H,W]; their order does not matter.
        inside: share of a mask; exactly so much is too little.
        covered: share of a class's pixels; None leaves the second way out.
        keep_uncovered: False takes whole masks alone.

    Returns:
        (labels uint8 [H,W], the place int64 [M] at which each mask was accepted, from 1; 0 for those refused).

    Source: cskyl/SAM_WSSS@4885dde:merge/max_iou_imp2.py; docs/methods/proposals.md, (1).
    """
    flat, areas = masks.reshape(len(masks), -1), masks.sum((1, 2))
    merged, order = np.full(labels.size, BACKGROUND, np.uint8), np.zeros(len(masks), np.int64)
    for class_ in _classes(labels):
        pixels = (labels == class_).ravel()
        left = np.flatnonzero(order == 0)
        shared = flat[left][:, pixels].sum(1)
        accepted = (shared > inside * areas[left]) & (areas[left] > 0)
        if covered is not None:
            accepted |= shared / pixels.sum() >= covered
        taken = left[accepted]
        order[taken] = order.max(initial=0) + 1 + np.arange(len(taken))
        area = flat[taken].any(0)
        if keep_uncovered:
            area |= pixels & ~flat[left].any(0)
        merged[area] = class_
    return merged.reshape(labels.shape), order


def merge_order_free(labels: Mask, masks: Masks, inside: float = 0.5) -> Mask:
    """Each mask goes to the class that fills most of it, if that is more than ``inside``; no order of classes counts.

    Masks are painted from the largest to the smallest, so that a part keeps its class within a whole; among masks of
    one size the class that fills more of its mask is painted last, then the later class. A pixel of a class that no
    mask covers keeps it.

    Args:
        labels, masks, inside: as in :func:`merge_proposals`.

    Returns:
        uint8 [H,W].
    """
    classes = _classes(labels)
    areas = masks.sum((1, 2))
    merged: Mask = np.where(masks.any(0), BACKGROUND, np.where(np.isin(labels, classes), labels, BACKGROUND))
    merged = merged.astype(np.uint8)
    if not len(classes) or not len(masks):
        return merged
    shares = np.stack([(masks & (labels == class_)).sum((1, 2)) for class_ in classes]) / np.maximum(areas, 1)
    best, winner = shares.max(0), np.array(classes)[shares.argmax(0)]
    for m in np.lexsort((winner, best, -areas)):
        if best[m] > inside:
            merged[masks[m]] = winner[m]
    return merged


def _classes(labels: Mask) -> list[int]:
    return [int(value) for value in np.unique(labels) if BACKGROUND < value < UNLABELLED]
