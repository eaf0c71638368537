"""The pairs of an image and a class that it has, read from the device once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TaggedPairs:
    """P pairs in the order of ``tags.nonzero()``: by image, then by class.

    A mask as index, ``maps[tags]``, makes a GPU wait at every use, forward and backward: the shape of its result is the
    host's. ``maps[pairs.index]`` has the same values and does not.

    Attributes:
        image: int64 [P], 0..N-1.
        channel: int64 [P], 0..C-1.
        counts: classes of each of the N images; they add up to P.
    """

    image: Tensor
    channel: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, tags: Tensor) -> Self:
        """Of bool or float [N,C]; the host waits for the device, once."""
        there = [[channel for channel, tag in enumerate(row) if tag] for row in tags.tolist()]
        image = [number for number, channels in enumerate(there) for _ in channels]
        channel = [channel for channels in there for channel in channels]
        images, channels = (torch.tensor(one, dtype=torch.int64, device=tags.device) for one in (image, channel))
        return cls(images, channels, tuple(len(channels_of) for channels_of in there))

    @property
    def index(self) -> tuple[Tensor, Tensor]:
        """What picks [P,...] out of [N,C,...]."""
        return self.image, self.channel

    def each(self, values: Tensor) -> tuple[Tensor, ...]:
        """Of values [P,...] those of each image."""
        return values.split(self.counts)  # type: ignore[no-untyped-call, no-any-return]
