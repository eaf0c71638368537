"""Brush masks of Label Studio: run lengths in bits (the format of @thi.ng/rle-pack), of four bytes a pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.ops.run_lengths import Region

WORD = 8
"""Bits of a value."""
LENGTHS = (3, 4, 8, 16)
"""Bits in which the length of a run is written; each run names the shortest that does."""
CHANNELS = 4
"""Red, green, blue and alpha, which all are 255 where the brush was, and 0 elsewhere."""


def packed(region: Region) -> list[int]:
    """The bytes of a region bool [H,W], along its rows.

    They begin with the number of values (32 bits), the bits of a value less 1 (5) and those of the four lengths less 1
    (4 each). Then follow the runs: 1 (0 would begin values that are written one by one), which of the lengths (2 bits),
    the length less 1, and the value. Zeros fill the last byte.
    """
    header = [f"{CHANNELS * region.size:032b}", f"{WORD - 1:05b}", *(f"{bits - 1:04b}" for bits in LENGTHS)]
    runs = (f"1{which:02b}{length - 1:0{LENGTHS[which]}b}{value:0{WORD}b}" for which, length, value in _runs(region))
    bits = "".join((*header, *runs))
    size = -(-len(bits) // 8)
    return list(int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big"))


def _runs(region: Region) -> Iterator[tuple[int, int, int]]:
    """(which of :data:`LENGTHS`, values in the run, value 0 or 255)."""
    pixels = region.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(pixels)) + 1])
    lengths = CHANNELS * np.diff(starts, append=pixels.size)
    longest = 2 ** LENGTHS[-1]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = 255 if pixels[start] else 0
        for part in (longest,) * (length // longest) + ((length % longest,) if length % longest else ()):
            yield next(k for k, bits in enumerate(LENGTHS) if part <= 2**bits), part, value
