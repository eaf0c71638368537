"""Colours of labels: PASCAL VOC's for files that other tools read, and ones that people can tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from models.structures import UNLABELLED
from pipeline.datasets.voc_colours import voc_palette

if TYPE_CHECKING:
    from models.structures import Mask

File = TypeVar("File", Path, BinaryIO)


def distinct_palette() -> npt.NDArray[np.uint8]:
    """RGB of each label, uint8 [256,3], as far apart as can be: 22 classes at sight, 80 side by side.

    From red on, each colour is the one farthest (in OKLab) from those before it and from black, grey and white, among
    saturated colours that show on a photograph. 0, 254 and 255 are black, grey and white.
    """
    steps = np.linspace(0, 255, 18).round()
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[_vivid(oklab(grid))]
    known = oklab(grid)
    taken = [int(np.square(grid - (230, 45, 45)).sum(1).argmin())]
    greys = oklab(np.array([[255.0] * 3, [128.0] * 3, [0.0] * 3]))
    distance = np.square(known[:, None] - [*greys, known[taken[0]]]).sum(2).min(1)
    while len(taken) < UNLABELLED - 1:
        taken.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(known - known[taken[-1]]).sum(1))
    return np.concatenate([[[0] * 3], grid[taken], [[128] * 3, [255] * 3]]).astype(np.uint8)


def oklab(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """sRGB in 0..255 [N,3] as OKLab [N,3], in which equal distances look equal (Ottosson 2020)."""
    share = np.asarray(rgb, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    lab: npt.NDArray[np.float64] = np.cbrt(linear @ _CONES.T) @ _OPPONENTS.T
    return lab


def _vivid(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return (lab[:, 0] > 0.55) & (lab[:, 0] < 0.92) & (np.hypot(lab[:, 1], lab[:, 2]) > 0.09)


_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def export_png(masks: Iterable[tuple[str, Mask]], folder: Path) -> list[Path]:
    """Write each (id, mask) as ``folder/ID.png``: 8-bit indexed, label = index, coloured with the VOC palette."""
    folder.mkdir(parents=True, exist_ok=True)
    return [write_png(folder / f"{name}.png", mask) for name, mask in masks]


def write_png(path: File, mask: Mask) -> File:
    """Write one mask as an indexed PNG."""
    from PIL import Image

    picture = Image.fromarray(mask)
    picture.putpalette(voc_palette().tobytes())
    picture.save(path, "PNG", optimize=False)
    return path
