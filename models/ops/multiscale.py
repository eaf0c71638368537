"""Inference over scales and mirror images, in batches of equal size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ops.half_precision import is_fast_in
from models.structures import Image

Sample = TypeVar("Sample")
Result = TypeVar("Result")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
WINDOW = 4
"""Batches' worth of samples among which equals are looked for: bounds what is in memory."""


def in_batches(
    samples: Iterable[Sample],
    size_of: Callable[[Sample], object],
    run: Callable[[list[Sample]], Sequence[Result]],
    batch_size: int,
) -> Iterator[Result]:
    """Apply ``run`` to batches of samples of equal size; the results come in the order of the samples.

    Which samples share a batch depends on the stream alone, and at most ``WINDOW * batch_size`` are held.
    """
    stream = iter(samples)
    while window := list(islice(stream, WINDOW * batch_size)):
        groups: dict[object, list[int]] = {}
        for number, sample in enumerate(window):
            groups.setdefault(size_of(sample), []).append(number)
        results: dict[int, Result] = {}
        for numbers in groups.values():
            for start in range(0, len(numbers), batch_size):
                chosen = numbers[start : start + batch_size]
                results.update(zip(chosen, run([window[number] for number in chosen]), strict=True))
        yield from (results[number] for number in range(len(window)))


def to_batch(images: Sequence[Image], device: torch.device | str) -> Tensor:
    """Images uint8 RGB [H,W,3] of one size as float32 [B,3,H,W] in [0,1]."""
    return torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255


def squared(image: Tensor, side: int) -> Tensor:
    """Images [B,3,H,W] stretched to ``side`` x ``side``, antialiased; as they are for a side of 0."""
    if side == 0 or tuple(image.shape[2:]) == (side, side):
        return image
    return F.interpolate(image, [side, side], mode="bilinear", antialias=True).clamp(0, 1)


def scaled_views(image: Tensor, scales: Sequence[float], flip: bool) -> Iterator[Tensor]:
    """The batch at every scale, sizes rounded, antialiased; with ``flip`` followed by its mirror image: [2B,3,h,w]."""
    for scale in scales:
        size = [max(1, round(length * scale)) for length in image.shape[2:]]
        view = image if scale == 1 else F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1)
        views = torch.cat([view, view.flip(-1)]) if flip else view
        yield views.contiguous(memory_format=torch.channels_last)  # convolutions are 1.25 times as fast, on a CPU too


def resize_cells(maps: Tensor, size: tuple[int, int], view: tuple[int, int], stride: int) -> Tensor:
    """Resize maps whose cell (i, j) looks at pixel (i * stride, j * stride) of the view, bilinearly.

    That is where the cells of a network with odd, centred kernels look, whatever its depth. ``F.interpolate`` places
    them half a cell further down and right (or stretches them to the corners), which at stride 16 and half scale is
    15 pixels of the image.

    Args:
        maps: float [B,C,h,w].
        size: (H, W) to return; it covers the view.
        view: (H, W) of the network's input in pixels.
        stride: pixels of the view between two cells.
    """
    axes = []
    for count, pixels, cells in zip(size, view, maps.shape[2:], strict=True):
        pixel = (torch.arange(count, device=maps.device) + 0.5) * (pixels / count) - 0.5
        axes.append(pixel / stride * 2 / max(cells - 1, 1) - 1)
    grid = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), -1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=True)


def merge_views(
    maps: Tensor,
    size: tuple[int, int],
    flip: bool,
    align_corners: bool = False,
    each: Callable[[Tensor], Tensor] | None = None,
    cells: tuple[tuple[int, int], int] | None = None,
) -> Tensor:
    """Sum over the two mirror images, at ``size`` (bilinear).

    Args:
        maps: float [2B,C,h,w] for a view with its mirror image, else [B,C,h,w].
        each: applied to the resized maps before they are summed.
        cells: (view, stride) to resize by :func:`resize_cells` instead of ``F.interpolate``.

    Returns:
        float32 [B,C,*size].
    """
    if cells is not None:
        resized = resize_cells(maps.float(), size, *cells)
    else:
        resized = F.interpolate(maps.float(), size, mode="bilinear", align_corners=align_corners)
    resized = resized if each is None else each(resized)
    if not flip:
        return resized
    straight, mirrored = resized.chunk(2)
    return straight + mirrored.flip(-1)


@contextmanager
def evaluating(network: object, device: torch.device | str, precision: str) -> Iterator[None]:
    """No gradients, evaluation mode (restored afterwards), and autocast where the device is fast in ``precision``.

    A CPU that has no instructions for half precision computes in float32.
    """
    was_training = isinstance(network, nn.Module) and network.training
    if isinstance(network, nn.Module):
        network.eval()
    kind, dtype = torch.device(device).type, DTYPES[precision]
    half = dtype != torch.float32 and is_fast_in(dtype, kind)
    try:
        with torch.inference_mode(), torch.autocast(kind, dtype, enabled=half):
            yield
    finally:
        if isinstance(network, nn.Module):
            network.train(was_training)
