"""Unary terms of a dense CRF: energies of the labels at each pixel, before any neighbour is asked (numpy)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.ops.background import Scores, power_background

CLIP = 1e-5


def unary_from_probabilities(probabilities: Scores, clip: float = CLIP) -> Scores:
    """``-log(clip(p, clip, 1))``; un-normalised scores are allowed. [L,...] -> float32 [L,N]."""
    return -np.log(np.clip(probabilities, clip, 1)).reshape(len(probabilities), -1).astype(np.float32)


def unary_from_scores(scores: Scores, alpha: float, *, normalize: bool = False, clip: float = CLIP) -> Scores:
    """Unary of ``[(1 - max)^alpha ; scores]``, un-normalised as PSA has it, or divided by their sum.

    Args:
        scores: float32 [K,H,W] in [0,1], K >= 1.
        alpha: exponent of the background score.
        normalize: divide each pixel's scores by their sum.
        clip: smallest score.

    Returns:
        float32 [1+K,H*W].
    """
    stack = np.concatenate([power_background(scores, alpha)[None], scores])
    return unary_from_probabilities(stack / stack.sum(0, keepdims=True) if normalize else stack, clip)


def unary_from_labels(labels: npt.NDArray[np.integer[Any]], num_labels: int, certainty: float = 0.7) -> Scores:
    """``-log(certainty)`` at the label, ``-log((1 - certainty) / (L - 1))`` elsewhere: float32 [L,N].

    Args:
        labels: int, any shape, 0..L-1.
        num_labels: L, at least 2.
        certainty: probability of the given label (``gt_prob``; IRN and PPC 0.7).
    """
    if num_labels < 2:
        raise ValueError(f"a CRF needs at least 2 labels, found {num_labels}")
    flat = labels.ravel()
    unary = np.full((num_labels, flat.size), -np.log((1 - certainty) / (num_labels - 1)), np.float32)
    unary[flat, np.arange(flat.size)] = -np.log(certainty)
    return unary
