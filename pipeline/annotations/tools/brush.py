"""Run lengths of the tools: Label Studio's packed bits of RGBA, and CVAT's runs along the rows of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.annotations.tools.drawn import Region
from pipeline.datasets.tables import clipped

HEAD = 32 + 5 + 4 * 4
"""Bits: how many values, bits of a value, bits of the four sizes of a count."""
CHANNELS = 4


def label_studio_pixels(packed: Any, size: tuple[int, int]) -> Region:
    """The alpha of an image of (H, W), as Label Studio's brush packs it.

    After the head come groups. The first bit says whether the group is one value that is repeated; two bits choose one
    of four sizes; that many bits are the count, less one; then follows the value, or as many values. Pixels count that
    have at least half of the largest alpha, since the edges of a brush are smooth.

    Args:
        packed: list of bytes 0..255.
        size: (H, W), which the values must fill with 4 channels.

    Raises:
        ValueError: no such list, values for an image of another size, or bits that break off.
    """
    stream = _Bits(_bytes(packed))
    total, width = stream.take(32), stream.take(5) + 1
    sizes = [stream.take(4) + 1 for _ in range(4)]
    height, across = size
    if width > 8:
        raise ValueError(f"a brush whose values have {width} bits, where 8 are expected")
    if total != height * across * CHANNELS:
        raise ValueError(f"a brush of {total} values, where {across} x {height} pixels of 4 channels have others")
    values = np.zeros(total, np.uint8)
    place = 0
    while place < total:
        repeated = stream.take(1)
        end = place + 1 + stream.take(sizes[stream.take(2)])
        if end > total:
            raise ValueError("a brush whose groups have more values than its head says")
        values[place:end] = stream.take(width) if repeated else stream.many(end - place, width)
        place = end
    alpha = values.reshape(height, across, CHANNELS)[..., 3]
    return np.asarray(alpha > alpha.max(initial=0) // 2)


def row_runs(text: str, size: tuple[int, int]) -> Region:
    """CVAT's ``rle``: lengths of 0 and 1 in turn, along the rows of a window of (H, W).

    Raises:
        ValueError: no numbers, or they do not add up to the size.
    """
    try:
        runs = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{clipped(text, 40)} in place of run lengths") from None
    if min(runs) < 0 or sum(runs) != size[0] * size[1]:
        raise ValueError(f"run lengths that add up to {sum(runs)}, where the window has {size[1]} x {size[0]} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def _bytes(packed: Any) -> npt.NDArray[np.uint8]:
    if not isinstance(packed, Sequence) or isinstance(packed, str):
        raise ValueError(f"{clipped(repr(packed), 40)} in place of a list of bytes")
    if not all(type(byte) is int and 0 <= byte <= 255 for byte in packed):
        raise ValueError("a list with other values than bytes 0..255")
    return np.array(packed, np.uint8)


class _Bits:
    """Numbers out of bits, the highest one first."""

    def __init__(self, content: npt.NDArray[np.uint8]) -> None:
        self._content, self._place = content.tobytes(), 0
        if len(self._content) * 8 < HEAD:
            raise ValueError(f"a brush of {len(content)} bytes")

    def take(self, count: int) -> int:
        """The number in the next bits."""
        first, end = self._place // 8, self._ended(count)
        window = int.from_bytes(self._content[first : -(-end // 8)], "big")
        return window >> (-end % 8) & ((1 << count) - 1)

    def many(self, count: int, width: int) -> npt.NDArray[np.uint8]:
        """So many numbers of ``width`` bits each, 8 at most."""
        start, end = self._place, self._ended(count * width)
        window = np.frombuffer(self._content[start // 8 : -(-end // 8)], np.uint8)
        bits = np.unpackbits(window)[start % 8 :][: count * width].reshape(count, width)
        return np.asarray(np.packbits(bits, axis=1)[:, 0] >> (8 - width), np.uint8)

    def _ended(self, count: int) -> int:
        """The place behind the next bits, to which it goes."""
        self._place += count
        if self._place > len(self._content) * 8:
            raise ValueError("a brush whose bits break off")
        return self._place
