"""Normalisations of class activation maps, on torch tensors of float32 or float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional

from models.ops.tagged_pairs import TaggedPairs

EPS = 1e-5


def max_norm(p: Tensor, eps: float = EPS) -> Tensor:
    """Rectify and stretch each map to [0,1]; differentiable, also through the extrema.

    ``relu(r - min - eps) / (max - min + eps)`` with ``r = relu(p)`` and the extrema of each map over space.
    Maps that are constant or nowhere positive give 0.

    Args:
        p: float32 or float64 [B,C,H,W] or [C,H,W].
        eps: keeps the division finite.

    Returns:
        The shape and type of ``p``, in [0,1).

    Source: YudeWang/SEAM@3212261:tool/visualization.py (max_norm).
    """
    r = functional.relu(p)
    lowest, highest = _extrema(r)
    return functional.relu(r - lowest - eps) * (1 / (highest - lowest + eps))  # the gradient of a quotient is slower


def export_max_norm(summed: Tensor, eps: float = EPS) -> Tensor:
    """Normalise the sum of the multi-scale maps as SEAM and HFPL store it.

    Negatives become 0, then values below ``min + eps`` become 0, then ``(v - min - eps) / (max - min + eps)``.
    This is the published function, so its range is not [0,1]: a zeroed pixel comes out as ``-(min + eps)`` over the
    range, and a map of zeros as -1 everywhere. Whoever makes a :class:`models.structures.Cam` clamps the result to
    [0,1], which changes no label because a background score is never negative.

    Args:
        summed: float [C,H,W] or [B,C,H,W], the maps times the tags, summed over scales and flips.
        eps: keeps the division finite.

    Source: arvijj/hfpl@1038a68:infer_cam_voc.py.
    """
    positive = summed.clamp(min=0)
    lowest, highest = _extrema(positive)
    kept = positive.masked_fill(positive < lowest + eps, 0)
    return (kept - lowest - eps) / (highest - lowest + eps)


def export_psa_norm(summed: Tensor, eps: float = EPS) -> Tensor:
    """Divide the sum of the rectified multi-scale maps by its largest value, as PSA and IRN do: in [0,1).

    Args:
        summed: non-negative float [C,H,W] or [B,C,H,W].
        eps: keeps the division finite; a map of zeros stays zero.

    Source: jiwoon-ahn/psa@9493e59:infer_cls.py.
    """
    return summed / (_extrema(summed)[1] + eps)


def min_max(maps: Tensor, floor: float = 1e-7) -> Tensor:
    """Stretch each map: its minimum to 0, its maximum to just below 1, however small it is.

    Args:
        maps: float32 or float64 [...,H,W].
        floor: added to the maximum; a map of one value becomes zeros.

    Source: linyq2117/CLIP-ES@3893f81:pytorch_grad_cam/utils/image.py (scale_cam_image).
    """
    shifted = maps - maps.flatten(-2).amin(-1)[..., None, None]
    return shifted / (floor + shifted.flatten(-2).amax(-1)[..., None, None])


def gradient_weights(gradient: Tensor) -> Tensor:
    """Weight of each channel, [...,D], from the gradient [...,D,h,w] of a score in these features: its mean."""
    return gradient.mean((-2, -1))


def weighted_features(features: Tensor, weights: Tensor) -> Tensor:
    """Features [...,D,h,w] summed over channels by weights [...,D]: maps [...,h,w]."""
    return (features * weights[..., None, None]).sum(-3)


def grad_cam(features: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of features and gradient [...,D,h,w]: maps [...,h,w] in [0,1).

    They are stretched twice, as published (once by layer, once after the mean over layers, of which there is one). That
    matters where a score is saturated and its gradient vanishes.
    """
    raised = functional.relu(weighted_features(features, gradient_weights(gradient)))
    return min_max(min_max(raised))


EXPORT_NORMALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {"max_norm": export_max_norm, "max": export_psa_norm}


def tagged_maps(logits: Tensor, pairs: TaggedPairs, size: Sequence[int]) -> Tensor:
    """``relu`` of the enlarged class maps (bilinear, corners not aligned), of the tagged classes alone.

    Args:
        logits: float [B,C,h,w], not rectified.
        pairs: of the tags [B,C].
        size: (H, W).

    Returns:
        [P,H,W] for the P tagged pairs of image and class.
    """
    maps = logits[pairs.index].unsqueeze(1)
    return functional.interpolate(maps, tuple(size), mode="bilinear", align_corners=False).squeeze(1).relu()


def _extrema(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each map over space, [...,1,1]."""
    if maps.ndim not in (3, 4):
        raise ValueError(f"maps must be [C,H,W] or [B,C,H,W], found shape {tuple(maps.shape)}")
    flat = maps.flatten(-2)
    return flat.min(-1).values[..., None, None], flat.max(-1).values[..., None, None]
