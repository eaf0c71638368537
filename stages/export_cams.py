"""export_cams: a localizer's class activation maps, over scales and mirror images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from models.ops.cam import EXPORT_NORMALIZATIONS
from models.ops.multiscale import evaluating, in_batches, merge_views, scaled_views, squared, to_batch
from models.ops.posteriors import posteriors
from models.options import Grid, PositiveCount, Scales, Side
from models.structures import Cam, Image, Localizer, Segmenter

ImageSample: TypeAlias = tuple[str, Image, npt.NDArray[np.bool_]]


def export_cams(
    samples: Iterable[ImageSample],
    localizer: Localizer | Segmenter,
    *,
    device: Any = "cpu",
    scales: Scales = (0.5, 1.0, 1.5, 2.0),
    flip: bool = True,
    square: Side = 0,
    grid: Grid = 4,
    normalization: Literal["max_norm", "max", "mean"] = "max_norm",
    alignment: Literal["cells", "half_pixel"] = "cells",
    maps: Literal["cams", "posteriors"] = "cams",
    batch_size: PositiveCount = 1,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> Iterator[tuple[str, Cam]]:
    """Sum the maps of all views, of the tagged classes only, and normalise each class to [0,1].

    A segmenter's probabilities among the background and the tagged classes are CAMs too (``maps: posteriors``): with
    the rule "complement" they are its predictions as pseudo-masks, and every refiner takes them.

    The published recipes differ in where the sum is taken: SEAM and HFPL at the image's size ("full"), IRN at a grid
    of 4 pixels. Images of equal size go through the network together.

    Args:
        samples: (id, image uint8 RGB [H,W,3], tags bool [C]).
        localizer: on ``device``.
        scales: factors of the image's size.
        flip: add the mirror image at every scale.
        square: side in pixels of the square that the image is stretched to before it is scaled (object localisation:
            224); 0 keeps its size. The maps are of the whole image either way.
        grid: pixels between two values of the maps, ceil(H/grid) x ceil(W/grid), or "full" for the image's size.
        normalization: "max_norm" (SEAM, HFPL: min and max), "max" (PSA, IRN: divided by the maximum), or "mean" over
            the views, for a page whose maps are normalised already (CLIP-ES).
        alignment: "cells" puts each value where its cell looks; "half_pixel" is the enlargement of the published
            exports (bilinear, corners not aligned), which moves maps down and right by half a cell.
        maps: a localizer's CAMs, or a segmenter's "posteriors": the mean probability of each class, for which
            ``normalization`` and ``alignment`` do not count.
        batch_size: images that go through the network together; more than one pays on a GPU, and costs memory.
        precision: of the network's arithmetic; sums and normalisation are float32.

    Yields:
        (id, Cam) in order. An image without tags has a Cam of no class.
    """
    see = partial(_cams, normalization=normalization, alignment=alignment) if maps == "cams" else _posteriors
    run = partial(
        _export,
        see=partial(see, network=localizer, scales=scales, flip=flip),
        localizer=localizer,
        device=device,
        square=square,
        grid=grid,
        precision=precision,
    )
    return in_batches(samples, lambda sample: sample[1].shape, run, batch_size)


def _export(
    samples: list[ImageSample],
    *,
    see: Callable[..., Tensor],
    localizer: Localizer | Segmenter,
    device: Any,
    square: int,
    grid: int | str,
    precision: str,
) -> list[tuple[str, Cam]]:
    height, width = samples[0][1].shape[:2]
    target = (height, width) if isinstance(grid, str) else (-(-height // grid), -(-width // grid))
    with evaluating(localizer, device, precision):
        image = squared(to_batch([image for _, image, _ in samples], device), square)
        tags = torch.from_numpy(np.stack([tags for _, _, tags in samples])).to(device)
        return [
            (name, _cam(cam, tags, (height, width)))
            for (name, _, tags), cam in zip(samples, see(image, tags, target), strict=True)
        ]


def _cams(
    image: Tensor,
    tags: Tensor,
    target: tuple[int, int],
    *,
    network: Any,
    scales: Sequence[float],
    flip: bool,
    normalization: str,
    alignment: str,
) -> Tensor:
    """Scores [B,C,h,w] from a localizer's maps, summed over views."""
    doubled = torch.cat([tags, tags]) if flip else tags
    maps = (
        merge_views(
            network.cams(view, doubled),
            target,
            flip,
            cells=((view.shape[2], view.shape[3]), network.stride) if alignment == "cells" else None,
        )
        for view in scaled_views(image, scales, flip)
    )
    summed: Tensor = reduce(torch.add, maps)
    if normalization == "mean":
        return summed / (len(scales) * (1 + flip))
    return EXPORT_NORMALIZATIONS[normalization](summed)


def _posteriors(
    image: Tensor, tags: Tensor, target: tuple[int, int], *, network: Any, scales: Sequence[float], flip: bool
) -> Tensor:
    """Probabilities [B,C,h,w] of the classes, among these and the background: means over the cells of the grid."""
    allowed, size = functional.pad(tags, (1, 0), value=True), (image.shape[2], image.shape[3])
    scores = posteriors(network, image, size, scales=scales, flip=flip, average="probabilities", allowed=allowed)
    return functional.interpolate(scores[:, 1:], target, mode="bilinear", antialias=True)


def _cam(scores: Tensor, tags: npt.NDArray[np.bool_], size: tuple[int, int]) -> Cam:
    """Scores [C,h,w] of one image as a Cam of its tagged classes."""
    present = np.flatnonzero(tags)
    return Cam(present.astype(np.int64) + 1, scores[present].clamp(0, 1).cpu().numpy(), size)
