"""Features of a frozen encoder, kept by the content of what it looked at."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, TypeAlias
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.storage.whole import whole_file

Encoder: TypeAlias = Callable[[Tensor], dict[str, Tensor]]
"""Image [1,3,H,W] -> its features by level."""


@dataclass(frozen=True)
class Packed:
    """A map [D,h,w] in half of its bytes.

    Attributes:
        values: float16 [D,h,w].
        scale: power of two by which they are multiplied.
    """

    values: npt.NDArray[np.float16]
    scale: float

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Features of any magnitude; NaN and infinity stay what they are."""
        values = features.detach().float().cpu().numpy()
        largest = float(np.abs(values).max(initial=0))
        scale = math.ldexp(1.0, math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0
        return cls((values / np.float32(scale)).astype(np.float16), scale)

    def unpacked(self) -> npt.NDArray[np.float32]:
        """float32 [D,h,w]."""
        return self.values.astype(np.float32) * np.float32(self.scale)


class KeptFeatures:
    """What one frozen encoder says of views that come again: read from ``folder``, where it looked at them before.

    A view is known by its pixels, so nothing that lies here is ever wrong for a training: the folder may be shared, and
    deleted. A map is float16 on the disk, over a power of two that brings its largest value to [1,2), and is rounded so
    where it is computed too, one view at a time: a training has the same bytes whether a view was kept or not. Only
    levels that the page reads are kept.

    Args:
        where: says the folder of this encoder alone; asked at the first pass, when its weights are in place.
        room: views of one size that this training may add. What a page draws anew in each step (a second view with
            cut-outs) never comes again, and would fill the disk.

    Attributes:
        counts: maps ``read``, ``kept`` (computed, and added) and ``passed`` (computed, and not added).
    """

    def __init__(self, where: Callable[[], Path], room: int) -> None:
        self.where, self.room = where, room
        self.counts: Counter[str] = Counter()
        self._added: Counter[tuple[str, torch.Size]] = Counter()

    @cached_property
    def folder(self) -> Path:
        """Where the maps lie."""
        return self.where()

    def __call__(self, image: Tensor, encoder: Encoder) -> dict[str, Tensor]:
        """Float32 maps [B,D,h,w] of ``image`` [B,3,H,W], on its device; a level is made when it is asked for."""
        return _Levels(self, image, encoder)

    def read(self, level: str, key: str) -> Packed | None:
        """The map of a view; None where it is not there, or damaged."""
        with (
            suppress(OSError, ValueError, KeyError, EOFError, BadZipFile),
            np.load(self._file(level, key), allow_pickle=False) as arrays,
        ):
            packed = Packed(arrays["values"], float(arrays["scale"]))
            self.counts["read"] += 1
            return packed
        return None

    def add(self, level: str, key: str, size: torch.Size, packed: Packed) -> None:
        """Keep a map, while there is room for views of this size."""
        if self._added[level, size] >= self.room:
            self.counts["passed"] += 1
            return
        self._added[level, size] += 1
        self.counts["kept"] += 1
        file = self._file(level, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file, shared=True, durable=False) as scratch:
            np.savez(scratch, values=packed.values, scale=packed.scale)  # their checksums say whether they are damaged

    def _file(self, level: str, key: str) -> Path:
        return self.folder / level / key[:2] / f"{key}.npz"


class _Levels(dict[str, Tensor]):
    """The features of a batch; a level is read, or computed, when it is first asked for."""

    def __init__(self, kept: KeptFeatures, image: Tensor, encoder: Encoder) -> None:
        super().__init__()
        self._kept, self._image, self._encoder = kept, image, encoder
        pixels = image.detach().cpu().contiguous()
        self._keys = [hashlib.sha256(repr(view.shape).encode() + view.numpy().tobytes()).hexdigest() for view in pixels]
        self._computed: dict[int, dict[str, Tensor]] = {}

    def __missing__(self, level: str) -> Tensor:
        maps = np.stack([self._one(level, index) for index in range(len(self._keys))])
        features = torch.from_numpy(maps).to(self._image.device)
        self[level] = features
        return features

    def _one(self, level: str, index: int) -> npt.NDArray[np.float32]:
        key = self._keys[index]
        packed = self._kept.read(level, key)
        if packed is None:
            if index not in self._computed:
                self._computed[index] = self._encoder(self._image[index : index + 1])
            packed = Packed.of(self._computed[index][level][0])
            self._kept.add(level, key, self._image.shape[2:], packed)
        return packed.unpacked()
