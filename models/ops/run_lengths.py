"""Run lengths of a region, as COCO counts them: 0 and 1 in turn from 0 on, down the columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Region = npt.NDArray[np.bool_]
"""bool [H,W]."""


def runs_of(region: Region) -> npt.NDArray[np.int64]:
    """Run lengths int64 [n] of a region; the first is 0 where its first pixel is inside."""
    pixels = region.T.ravel()
    edges = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(edges, prepend=0, append=pixels.size)
    return np.concatenate([np.zeros(int(pixels[:1].any()), np.int64), runs])


def region_of_runs(runs: npt.NDArray[np.int64], size: tuple[int, int]) -> Region:
    """The region bool [H,W] of run lengths.

    Raises:
        ValueError: they do not add up to the size.
    """
    total = sum(runs.tolist())  # of any size: a sum in 64 bits might come round to the right one
    if runs.size == 0 or runs.min() < 0 or total != size[0] * size[1]:
        raise ValueError(f"run lengths that add up to {total}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    region: Region = values.reshape(size[1], size[0]).T
    return region
