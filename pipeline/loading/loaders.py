"""Images and their supervision, augmented, as training batches. The only DataLoader."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from models.backbones.base import IMAGENET_MEAN
from models.errors import ConfigurationError, Weak2MaskError
from models.structures import Batch, Image, Supervision
from pipeline.compute import runtime
from pipeline.loading.loader_options import LoaderOptions
from pipeline.loading.transforms import (
    blur,
    crop_image,
    crop_supervision,
    draw_window,
    jitter_colour,
    place_image,
    require_classes,
    shift_hsv,
    swap_classes,
    without_colour,
)

ORDER, SAMPLE, VIEW = 1, 2, 3
"""What a random number is for: the first word of its seed after the run's, so that no two uses share a stream."""

SIGMAS = (0.1, 5.0)
"""Of the blur, in pixels, uniform (SPML's classifier stage)."""

Key = tuple[int, int]
"""(epoch, position of the image)."""


class Images(Protocol):
    """Where images come from: a Catalogue."""

    def image(self, id: str) -> Image: ...


class Supervisions(Protocol):
    """Where supervision comes from: a SupervisionStore."""

    @property
    def ids(self) -> tuple[str, ...]: ...

    def __getitem__(self, name: str) -> Supervision: ...


class Processes(Protocol):
    """Which of how many processes this is: Fabric."""

    @property
    def world_size(self) -> int: ...
    @property
    def global_rank(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TrainSample:
    """One augmented image: float32 [3,crop,crop] and its supervision."""

    id: str
    image: npt.NDArray[np.float32]
    supervision: Supervision


class TrainLoader:
    """Batches of every optimiser step, from any step onwards (the ``Source`` of ``stages.train``).

    The order of an epoch is drawn from (seed, epoch), the augmentation of a sample from (seed, epoch, position), or
    from (epoch mod views, position) where there are so many views, and every process takes its slice of the same global
    batches: neither a resume, nor the number of loading processes, of devices, or of accumulated parts changes what the
    optimiser sees. The last incomplete batch of an epoch is dropped.

    Raises:
        ConfigurationError: fewer images than a batch, a batch that the parts and processes do not divide, or
            mirrored classes that the supervision does not have.
    """

    def __init__(
        self,
        images: Images,
        supervision: Supervisions,
        options: LoaderOptions,
        processes: Processes,
        accumulate: int = 1,
        seed: int = 0,
    ) -> None:
        self.dataset = TrainDataset(images, supervision, options, seed)
        self.options, self.processes, self.accumulate, self.seed = options, processes, accumulate, seed
        parts = accumulate * processes.world_size
        if options.batch_size % parts:
            raise ConfigurationError(
                f"loader.batch_size: expected a multiple of {parts} ({accumulate} accumulated parts x "
                f"{processes.world_size} processes), found {options.batch_size}."
            )
        count = len(self.dataset)
        if count < options.batch_size:
            fits = f"batch_size {count - count % parts}" if count >= parts else f"fewer than {parts} parts"
            raise ConfigurationError(
                f"loader.batch_size: {options.batch_size} is more than the {count} images of the supervision, so that "
                f"no batch could be filled. Remedy: {fits}, or more images."
            )
        if options.mirrored_classes:  # here, and not where a loading process would die of it
            require_classes(options.mirrored_classes, len(supervision[supervision.ids[0]].tags))

    @property
    def steps_per_epoch(self) -> int:
        return len(self.dataset) // self.options.batch_size

    def batches(self, start: int, stop: int) -> Generator[Batch, None, None]:
        """The batches of optimiser steps start..stop-1 for this process, ``accumulate`` for each step.

        Raises:
            DataError: an image or its supervision cannot be read.
        """
        self.dataset.prepare()
        count = self.options.num_workers if self.options.num_workers >= 0 else min(runtime.workers(), 8)
        loader = DataLoader(
            self.dataset,
            batch_sampler=_Steps(self, start, stop),
            num_workers=count,
            collate_fn=_collate,
            prefetch_factor=4 if count else None,
            worker_init_fn=_default_signals,
            pin_memory=runtime.device() != "cpu",
            # a forked process needs no imports and shares the cache; macOS cannot fork safely
            multiprocessing_context="fork" if count and sys.platform == "linux" else None,
        )
        for batch in loader:
            if isinstance(batch, Weak2MaskError):
                raise batch
            yield batch

    def keys(self, start: int, stop: int) -> Iterator[list[Key]]:
        """What goes into each of these batches."""
        size = self.options.batch_size // (self.accumulate * self.processes.world_size)
        for step in range(start, stop):
            epoch, number = divmod(step, self.steps_per_epoch)
            order = epoch_order(self.seed, epoch, len(self.dataset))[number * self.options.batch_size :]
            for part in range(self.accumulate):
                first = (part * self.processes.world_size + self.processes.global_rank) * size
                yield [(epoch, int(position)) for position in order[first : first + size]]


class _Steps(Sampler[list[Key]]):
    def __init__(self, loader: TrainLoader, start: int, stop: int) -> None:
        self.loader, self.start, self.stop = loader, start, stop

    def __iter__(self) -> Iterator[list[Key]]:
        return self.loader.keys(self.start, self.stop)


class TrainDataset(Dataset[TrainSample | Weak2MaskError]):
    """Augmented samples by (epoch, position). Errors for the user are returned, for a worker would garble them."""

    def __init__(self, images: Images, supervision: Supervisions, options: LoaderOptions, seed: int) -> None:
        self.images, self.supervision, self.options, self.seed = images, supervision, options, seed
        self.ids = supervision.ids
        self._kept: list[tuple[Image, Supervision]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: Key) -> TrainSample | Weak2MaskError:
        epoch, position = key
        try:
            image, supervision = self._kept[position] if self._kept else self._read(position)
        except Weak2MaskError as error:
            return error
        views = self.options.views
        words = [0, VIEW, epoch % views, position] if views else [self.seed, SAMPLE, epoch, position]
        rng = np.random.default_rng(words)
        return TrainSample(self.ids[position], *augment(image, supervision, self.options, rng))

    def prepare(self) -> None:
        """Fill the cache in this process: loading processes share its pages."""
        if self.options.cache and not self._kept:
            kept = runtime.progress(range(len(self)), len(self), "reading images")
            self._kept = [self._read(position) for position in kept]

    def _read(self, position: int) -> tuple[Image, Supervision]:
        name = self.ids[position]
        return self.images.image(name), self.supervision[name]


def augment(
    image: Image, supervision: Supervision, options: LoaderOptions, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], Supervision]:
    """One random view: image float32 [3,crop,crop] in [0,1], and the supervision of the same pixels."""
    height, width = image.shape[:2]
    resized = _resized((height, width), options, rng)
    flip = bool(rng.integers(2)) and options.flip
    window = draw_window((height, width), resized, options.crop, flip, rng)
    part = crop_image(image, window)
    part = _recoloured(part, options, rng)
    seen = crop_supervision(supervision, window)
    if flip and options.mirrored_classes:
        seen = swap_classes(seen, options.mirrored_classes)
    return place_image(part, window, IMAGENET_MEAN), seen


def _recoloured(part: Image, options: LoaderOptions, rng: np.random.Generator) -> Image:
    """Colour jitter, shift of hue, saturation and value, grey and blur; draws nothing for what is off, or always on."""
    jitter = options.brightness, options.contrast, options.saturation, options.hue
    if any(jitter) and _chosen(options.jittered, rng):
        part = jitter_colour(part, *jitter, rng)
    if options.hsv:
        part = shift_hsv(part, options.hsv, rng)
    if _chosen(options.grey, rng):
        part = without_colour(part)
    if _chosen(options.blurred, rng):
        part = blur(part, float(rng.uniform(*SIGMAS)))
    return part


def _chosen(share: float, rng: np.random.Generator) -> bool:
    return share > 0 and (share >= 1 or bool(rng.random() < share))


def _resized(size: tuple[int, int], options: LoaderOptions, rng: np.random.Generator) -> tuple[int, int]:
    """(H, W) of the image before the crop."""
    if options.square:
        return options.square, options.square
    if options.long_side[1]:
        factor = int(rng.integers(options.long_side[0], options.long_side[1] + 1)) / max(size)
    else:
        factor = float(rng.uniform(*options.scale))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def epoch_order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """The order of the images in an epoch: a permutation of 0..count-1."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(count)


def _collate(samples: Sequence[TrainSample | Weak2MaskError]) -> Batch | Weak2MaskError:
    good: list[TrainSample] = []
    for sample in samples:
        if isinstance(sample, Weak2MaskError):
            return sample
        good.append(sample)
    return Batch(
        image=torch.from_numpy(np.stack([sample.image for sample in good])),
        tags=torch.from_numpy(np.stack([sample.supervision.tags for sample in good])),
        seeds=torch.from_numpy(np.stack([sample.supervision.seeds for sample in good]).astype(np.int64)),
        ids=tuple(sample.id for sample in good),
        regions=_stacked_regions(good),
    )


def _stacked_regions(samples: Sequence[TrainSample]) -> torch.Tensor | None:
    """int64 [B,H,W]; None unless every image has them."""
    maps = [sample.supervision.segments for sample in samples]
    there = [regions for regions in maps if regions is not None]
    return torch.from_numpy(np.stack(there).astype(np.int64)) if len(there) == len(maps) else None


def _default_signals(worker: int) -> None:
    """A loading process ends when it is told to; the handlers of the training are not for it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
