"""Importance sampling of the image-level score (HFPL, and its predecessor ICAM): pixels drawn by their activation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WEIGHT_EPS = 1e-5
LOGIT_EPS = 1e-3
LEAST_WEIGHT = 1e-30


def draw_pixels(weights: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """Flat pixel indices int64 [N,C,S], with replacement, each with a chance proportional to ``weights`` [N,C,h,w].

    Weights that are not finite count as 1, so that the loss says which part and images they come from; a map whose
    weights are all 0 is drawn from evenly.
    """
    flat = weights.detach().flatten(2).flatten(0, 1).float().nan_to_num(1, 1, 1) + LEAST_WEIGHT
    drawn = torch.multinomial(flat, samples, replacement=True, generator=generator)
    return drawn.view(*weights.shape[:2], samples)


def sampling_weights(logits: Tensor) -> Tensor:
    """``sigmoid(a) + 1e-5``: each class a yes/no variable of its own (HFPL)."""
    return logits.sigmoid() + WEIGHT_EPS


def importance_sampling_loss(logits: Tensor, tags: Tensor, indices: Tensor) -> Tensor:
    """Soft-margin loss of the logits at drawn pixels; the gradient reaches these pixels alone.

    Args:
        logits: [N,C,h,w] of the foreground classes.
        tags: bool or float [N,C].
        indices: int64 [N,C,S] from :func:`draw_pixels` of :func:`sampling_weights`.

    Returns:
        float scalar: the mean over images, classes and draws.

    Source: arvijj/hfpl@1038a68:tool/probutils.py (sample_probs), train_cam_voc.py.
    """
    drawn = logits.flatten(2).gather(2, indices)
    return F.binary_cross_entropy_with_logits(drawn, tags.to(drawn.dtype).unsqueeze(2).expand_as(drawn))


def probability_logit(probability: Tensor, eps: float = LOGIT_EPS) -> Tensor:
    """``log(p (1 - eps) + eps) - log(1 - p (1 - eps))``, finite for p in [0,1] (ICAM)."""
    shrunk = probability * (1 - eps)
    return torch.log(shrunk + eps) - torch.log(1 - shrunk)


def multinomial_sampling_loss(probabilities: Tensor, tags: Tensor, indices: Tensor, eps: float = LOGIT_EPS) -> Tensor:
    """The predecessor's form: classes compete at each pixel, the drawn probability becomes the logit.

    Args:
        probabilities: [N,C,h,w], softmax over background and classes, foreground channels.
        tags: bool or float [N,C].
        indices: int64 [N,C,S], drawn by the probabilities themselves.

    Source: arvijj/icam@5f04fdc:tool/probutils.py, train_cam.py.
    """
    drawn = probability_logit(probabilities.flatten(2).gather(2, indices), eps)
    return F.binary_cross_entropy_with_logits(drawn, tags.to(drawn.dtype).unsqueeze(2).expand_as(drawn))
