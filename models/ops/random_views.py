"""Random views of a batch on its device: parts of the images, other colours. What is drawn is an argument."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 0.4
"""Share of an image's area that a part has at least."""
STRENGTHS = (0.4, 0.4, 0.2)
"""By how much brightness, contrast and saturation change at most."""
LUMA = (0.299, 0.587, 0.114)


def random_parts(image: Tensor, side: int, draws: Tensor) -> Tensor:
    """A part of each image, of its shape, stretched to a square and mirrored half of the times.

    Args:
        image: float [B,3,H,W].
        side: of the parts in pixels.
        draws: float [B,4] in [0,1]: area, place (y, x), mirroring.

    Returns:
        [B,3,side,side].
    """
    length = (SMALLEST + (1 - SMALLEST) * draws[:, 0]).sqrt()
    place = (1 - length[:, None]) * (2 * draws[:, 1:3] - 1)
    mirrored = length.where(draws[:, 3] < 0.5, -length)
    zero = torch.zeros_like(length)
    rows = torch.stack([mirrored, zero, place[:, 1]], 1), torch.stack([zero, length, place[:, 0]], 1)
    grid = F.affine_grid(torch.stack(rows, 1), [len(image), 3, side, side], align_corners=False)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def recoloured(image: Tensor, draws: Tensor, strength: float = 1.0) -> Tensor:
    """Brightness, contrast and saturation of each image times a factor around 1, clamped to [0,1].

    Args:
        image: float RGB [B,3,H,W] in [0,1].
        draws: float [B,3] in [0,1], for the three factors.
        strength: multiplies :data:`STRENGTHS`.
    """
    brightness, contrast, saturation = (
        (1 + strength * most * (2 * draw - 1)).view(-1, 1, 1, 1)
        for most, draw in zip(STRENGTHS, draws.unbind(1), strict=True)
    )
    image = image * brightness
    grey = (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    image = mean + contrast * (image - mean)
    grey = mean + contrast * (grey - mean)
    return (grey + saturation * (image - grey)).clamp(0, 1)
