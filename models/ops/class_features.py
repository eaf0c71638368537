"""Features of a class: those of the image, weighted by the class's activation map."""

from __future__ import annotations

import torch
from torch import Tensor

from models.ops.cam import export_psa_norm


def class_features(maps: Tensor, features: Tensor) -> Tensor:
    """Mean over space of the features under each class map ``relu(A_c) / (max + 1e-5)``; differentiable in both.

    Args:
        maps: float [B,C,h,w], class maps A_c, not rectified.
        features: float [B,D,h,w].

    Returns:
        [B,C,D]; zero for a class whose map is nowhere positive.

    Source: docs/methods/recam.md, (1).
    """
    weights = export_psa_norm(maps.relu())
    return torch.einsum("bchw,bdhw->bcd", weights, features) / weights[0, 0].numel()
