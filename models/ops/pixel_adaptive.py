"""Pixel-adaptive refinement: every pixel of a mask becomes a weighted mean of pixels around that look like it.

PAMR (Araslanov and Roth 2020), PAR (Ru et al. 2022, AFA) and VARM (RTC) differ in how a neighbour's colour becomes its
weight; what they do with the weights is the same. One implementation for CPU and GPU, differentiable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.ops.adaptive_settings import DILATIONS, AdaptiveSettings, Kind

EPS = 1e-8
SECOND_TERM = 0.01
"""Weight of PAR's position term and, subtracted, of VARM's gradient term."""

RING = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx)
CACHE_ELEMENTS = 1 << 17
"""Elements of the rows that are refined together without gradient: 0.5 MiB of float32 stay in a core's cache."""


class PixelAdaptive:
    """Refines masks by the colours of their image.

    Args:
        kind: "pamr", "par" or "varm".
        iterations: times the mask is averaged.
        dilations: distances of the eight neighbours in pixels, a ring for each.

    Raises:
        ConfigurationError: an unknown kind, or numbers below 1.

    Sources: visinf/1-stage-wseg@d905fca:models/mods/pamr.py, rulixiang/afa@adcfa29:wetr/PAR.py,
    ChunyanWang1/RTC@9c777e0:network/VARM.py.
    """

    def __init__(self, kind: Kind = "pamr", iterations: int = 10, dilations: Sequence[int] = DILATIONS) -> None:
        AdaptiveSettings(kind, iterations, dilations)
        self.kind, self.iterations, self.dilations = kind, iterations, tuple(dilations)
        self.offsets = tuple((d * dy, d * dx) for d in self.dilations for dy, dx in RING)

    def __call__(self, image: Tensor, mask: Tensor) -> Tensor:
        """Refine.

        Args:
            image: float [B,3,H,W] RGB; its scale does not matter but for a constant picture.
            mask: float [B,K,h,w], enlarged bilinearly (corners aligned) where it is smaller than the image.

        Returns:
            [B,K,H,W]. The weights of a pixel sum to 1 (PAMR), 1.01 (PAR), 0.99 (VARM), in each iteration.
        """
        size = image.shape[-2:]
        if mask.shape[-2:] != size:
            mask = F.interpolate(mask, size, mode="bilinear", align_corners=True)
        weights = self.weights(image)
        for _ in range(self.iterations):
            mask = self._average(mask, weights)
        return mask

    def weights(self, image: Tensor) -> Tensor:
        """Weight of each neighbour, [B,N,H,W], rings in the order of the dilations."""
        if self.kind == "pamr":
            scale = 1 / (EPS + 0.1 * self._deviation(image, centres=len(self.dilations)))
            return (-self._gaps(image, scale, Tensor.abs)).softmax(1)
        sharpness = 1 / 0.3 if self.kind == "par" else 4.0
        colour = (-self._gaps(image, sharpness / (self._deviation(image) + EPS), _square)).softmax(1)
        if self.kind == "par":
            return colour + SECOND_TERM * self._position(image)
        return colour - SECOND_TERM * self._gradients(image).softmax(1)

    def _gaps(self, image: Tensor, scale: Tensor, size: Callable[[Tensor], Tensor]) -> Tensor:
        """Channel mean of the ``size`` of the scaled difference in colour to each neighbour, [B,N,H,W]."""
        return torch.stack([size((image - n) * scale).mean(1) for n in self._neighbours(image)], 1)

    def _deviation(self, image: Tensor, centres: int = 0) -> Tensor:
        """Unbiased standard deviation over the neighbours and ``centres`` copies of the pixel itself, [B,3,H,W]."""
        count = len(self.offsets) + centres
        total = centres * image
        for n in self._neighbours(image):
            total = total + n
        mean = total / count
        squares = centres * (image - mean) ** 2
        for n in self._neighbours(image):
            gap = n - mean
            squares = torch.addcmul(squares, gap, gap)
        # the square root's slope is infinite at 0, where the picture is constant: no gradient there
        constant = squares == 0
        return (squares.masked_fill(constant, 1) / (count - 1)).sqrt().masked_fill(constant, 0)

    def _position(self, image: Tensor) -> Tensor:
        """PAR's softmax over distances, [1,N,1,1]."""
        distances = image.new_tensor([(dy * dy + dx * dx) ** 0.5 for dy, dx in self.offsets])
        return (-((distances / (distances.std() + EPS) / 0.3) ** 2)).softmax(0).view(1, -1, 1, 1)

    def _gradients(self, image: Tensor) -> Tensor:
        """VARM's squared one-sided differences of each shifted picture, [B,N,H,W], its last row and column repeated."""
        height, width = image.shape[-2:]
        margin = max(self.dilations)
        padded = _extend(image, margin)
        down = F.pad(_square(padded.diff(dim=-2)).mean(1), (0, 0, 0, 1))
        right = F.pad(_square(padded.diff(dim=-1)).mean(1), (0, 1))
        inside = torch.ones_like(image[:, 0])  # beyond the last row or column the picture is repeated: no difference
        above, before = inside.clone(), inside
        above[:, -1], before[..., -1] = 0, 0
        return torch.stack(
            [
                down[(..., *window)] * above + right[(..., *window)] * before
                for window in (_window(offset, margin, height, width) for offset in self.offsets)
            ],
            1,
        )

    def _neighbours(self, maps: Tensor) -> Iterator[Tensor]:
        """``maps`` [B,K,H,W] shifted to each neighbour, beyond the border the border's value: views."""
        margin = max(self.dilations)
        height, width = maps.shape[-2:]
        padded = _extend(maps, margin)
        for offset in self.offsets:
            yield padded[(..., *_window(offset, margin, height, width))]

    def _average(self, mask: Tensor, weights: Tensor) -> Tensor:
        """One iteration: sum of weights [B,N,H,W] times shifted masks [B,K,H,W]."""
        shifted = list(self._neighbours(mask))
        height = mask.shape[-2]
        tracked = torch.is_grad_enabled() and (mask.requires_grad or weights.requires_grad)
        rows = height if tracked or mask.is_cuda else max(1, CACHE_ELEMENTS // mask[..., 0, :].numel())
        blocks = []
        for top in range(0, height, rows):
            part = slice(top, min(top + rows, height))
            block = torch.zeros_like(mask[..., part, :])
            for index, neighbour in enumerate(shifted):
                block.addcmul_(weights[:, index : index + 1, part], neighbour[..., part, :])
            blocks.append(block)
        return torch.cat(blocks, -2)


def _extend(maps: Tensor, margin: int) -> Tensor:
    return F.pad(maps, (margin,) * 4, mode="replicate")


def _square(maps: Tensor) -> Tensor:
    return maps * maps  # a third of the time of `pow` on a CPU


def _window(offset: tuple[int, int], margin: int, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a padded picture that hold the picture shifted by ``offset``."""
    top, left = margin + offset[0], margin + offset[1]
    return slice(top, top + height), slice(left, left + width)
