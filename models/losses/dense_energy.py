"""Dense-energy loss: pixels that are near and of a like colour should have a like prediction (Tang et al. 2018).

The pairwise term of a dense CRF, with the sum over all pairs exact and in plain PyTorch. The published losses of AFA
and ToCo filter with a permutohedral lattice, which returns about half of that sum (docs/methods/toco.md, section 5).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.structures import IGNORE

WEIGHT = 1e-7
"""Of the sum over the pairs of an image."""
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}
"""Elements of the kernel that are there at once: 4 MiB of float32 stay in a core's cache, 256 MiB keep a GPU busy."""


def dense_energy(
    logits: Tensor,
    image: Tensor,
    labels: Tensor,
    inside: Tensor,
    *,
    sigma_rgb: float = 15.0,
    sigma_xy: float = 100.0,
    scale: float = 0.5,
) -> Tensor:
    """``-1e-7 / B`` times the sum over pairs of pixels of kernel, predictions and gate.

    The gate of a pixel is 1 where its label is unsure, else what its prediction lacks to be sure. Its gradient is the
    published one: that of both predictions of a pair, with one gate.

    Args:
        logits: float [B,K,H,W], at the image's size.
        image: float RGB [B,3,H,W] in [0,1].
        labels: int64 [B,H,W]; 255 is unsure.
        inside: bool [B,H,W]; beyond it there is no prediction.
        sigma_rgb, sigma_xy: widths of the kernel in units of 0-255 RGB and in pixels of the image.
        scale: of the image, at which the sum is taken.

    Returns:
        Scalar, not positive.

    Source: rulixiang/ToCo@e13514d:model/losses.py (DenseEnergyLoss); docs/methods/toco.md, section 3.
    """
    picture, unsure, there = (
        F.interpolate(maps.to(image.dtype), scale_factor=scale, mode="nearest")
        for maps in (255 * image, (labels == IGNORE)[:, None], inside[:, None])
    )
    shares = F.interpolate(logits.softmax(1), scale_factor=scale, mode="bilinear", align_corners=False)
    gate = (there - shares.detach().amax(1, keepdim=True)).relu().masked_fill(unsure.bool(), 1)
    shares = shares * there
    alike = gaussian_filter(shares.detach(), picture, sigma_rgb, sigma_xy * scale)
    once = -WEIGHT / len(logits) * (shares * gate * alike).sum()
    return 2 * once - once.detach()  # the value once, the slope of both ends of a pair


@torch.no_grad()
def gaussian_filter(maps: Tensor, image: Tensor, sigma_rgb: float, sigma_xy: float) -> Tensor:
    """Sums over all pixels weighted by ``exp(-d^2/2)``, d over colour and place in units of the widths; not normalised.

    Args:
        maps: float [B,K,h,w].
        image: float [B,3,h,w].
        sigma_rgb, sigma_xy: in units of the image's values and in pixels.

    Returns:
        [B,K,h,w]; the time grows with the square of h*w.
    """
    rows, columns = (torch.arange(length, dtype=maps.dtype, device=maps.device) for length in maps.shape[2:])
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(maps), -1, -1, -1)
    points = torch.cat([image / sigma_rgb, places / sigma_xy], 1).flatten(2).transpose(1, 2)  # [B,n,5]
    points = points - points.mean(1, keepdim=True)  # short vectors: products of long ones cancel in float32
    with torch.autocast(maps.device.type, enabled=False):
        summed = [_weighted_sums(where, values) for where, values in zip(points, maps.flatten(2), strict=True)]
    return torch.stack(summed).view_as(maps)


def _weighted_sums(points: Tensor, values: Tensor) -> Tensor:
    """[K,n] of values [K,n] at points [n,5], in blocks of rows of the kernel."""
    halves = points.square().sum(1, keepdim=True) / 2
    ones = torch.ones_like(halves)
    left, right = torch.cat([points, -halves, ones], 1), torch.cat([points, ones, -halves], 1).T.contiguous()
    rows = max(1, BLOCK["cuda" if points.is_cuda else "cpu"] // len(points))
    target = values.T.contiguous()
    return torch.cat([(part @ right).exp_() @ target for part in left.split(rows)]).T
