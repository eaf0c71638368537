"""Features of a frozen encoder, kept by the content of what it looked at."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.errors import TrainingError
from pipeline.storage.whole import whole_file

Encoder: TypeAlias = Callable[[Tensor], dict[str, Tensor]]
"""Image [1,3,H,W] -> its features by level."""


HALF = torch.finfo(torch.float16)


class KeptFeatures:
    """What one frozen encoder says of views that come again: read from ``folder``, where it looked at them before.

    A view is known by its pixels, so nothing that lies here is ever wrong for a training: the folder may be shared, and
    deleted. Values are float16 on the disk, and rounded to it where they are computed too, one view at a time: a
    training has the same bytes whether a view was kept or not. Only levels that the page reads are kept.

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
        """Features of ``image`` [B,3,H,W] on its device, float32 maps [B,D,h,w]; a level is made when it is asked for.

        Raises:
            TrainingError: on asking, features are beyond the range of float16, or all of them below it.
        """
        return _Levels(self, image, encoder)

    def read(self, level: str, key: str) -> npt.NDArray[np.float16] | None:
        """The map [D,h,w] of a view; None where it is not there, or damaged."""
        with (
            suppress(OSError, ValueError, KeyError, EOFError, BadZipFile),
            np.load(self._file(level, key), allow_pickle=False) as arrays,
        ):
            features: npt.NDArray[np.float16] = arrays["features"]
            self.counts["read"] += 1
            return features
        return None

    def add(self, level: str, key: str, size: torch.Size, features: npt.NDArray[np.float16]) -> None:
        """Keep a map, while there is room for views of this size."""
        if self._added[level, size] >= self.room:
            self.counts["passed"] += 1
            return
        self._added[level, size] += 1
        self.counts["kept"] += 1
        file = self._file(level, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file, shared=True, durable=False) as scratch:
            np.savez(scratch, features=features)  # its checksum says on reading whether it is damaged

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
        features = torch.from_numpy(maps).to(self._image.device).float()
        self[level] = features
        return features

    def _one(self, level: str, index: int) -> npt.NDArray[np.float16]:
        key = self._keys[index]
        features = self._kept.read(level, key)
        if features is None:
            if index not in self._computed:
                self._computed[index] = self._encoder(self._image[index : index + 1])
            features = _half(self._computed[index][level], level)
            self._kept.add(level, key, self._image.shape[2:], features)
        return features


def _half(features: Tensor, level: str) -> npt.NDArray[np.float16]:
    largest = features.detach().abs().max().item()
    if not (largest == 0 or HALF.tiny <= largest <= HALF.max):
        raise TrainingError(
            f"Features of '{level}' are kept as float16, which holds numbers from {HALF.tiny:.0e} to {HALF.max:,.0f}; "
            f"found at most {largest:g}. Remedy: settings.keep_features: false, and weights that were trained."
        )
    return features[0].detach().to(torch.float16).cpu().numpy()
