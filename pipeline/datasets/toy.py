"""toy: a data set that the project draws itself, so that everything runs without a download.

Six animals on four backgrounds, one to four classes an image. Built so that weak labels are hard in the usual
ways: what tells two animals apart is a small head, so a classifier has no reason to look at the body; wasps come
with tigerfish; toads sit in ponds; leaves, pebbles and twigs have colours of animals; animals overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from models.errors import ConfigurationError
from models.options import Count, PositiveCount, require
from pipeline.datasets.images import write_indices
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.parallel import in_processes
from pipeline.datasets.toy_animals import ANIMALS
from pipeline.datasets.toy_scenes import make_scene

SMALLEST = 32
FIXED_SPLITS = ("train", "val")
"""Those of every data set of this reader; no option names them."""


def toy(
    root: str = ".",
    *,
    seed: Count = 0,
    train: PositiveCount = 240,
    val: PositiveCount = 80,
    min_size: int = 128,
    max_size: int = 192,
) -> Listing:
    """Scenes that the project draws itself, with exact masks: nothing is downloaded.

    Args:
        root: not used: the files lie in the artefacts' own folders.
        seed: equal seeds draw equal files.
        train: number of training images.
        val: number of validation images; they do not change with ``train``.
        min_size: smallest height and width in pixels.
        max_size: largest height and width in pixels.

    Raises:
        ConfigurationError: sizes or counts that no scene fits.
    """
    if not SMALLEST <= min_size <= max_size:
        raise ConfigurationError(f"toy: expected {SMALLEST} <= min_size <= max_size, found {min_size} and {max_size}.")
    require("toy", toy, {"train": train, "val": val, "seed": seed})
    splits = {
        name: [_listed(name, k) for k in range(count)] for name, count in zip(FIXED_SPLITS, (train, val), strict=True)
    }
    classes = range(1, len(ANIMALS) + 1)
    return Listing(
        root=".",
        class_names=tuple(animal.name for animal in ANIMALS),
        splits=splits,
        mask_values=tuple(classes),
        mask_maximum=len(classes),
        make=partial(draw, jobs=list(_jobs(seed, train, val)), min_size=min_size, max_size=max_size),
    )


def draw(
    images: Path,
    truth: Path,
    workers: int,
    ids: Collection[str],
    *,
    jobs: list[tuple[str, tuple[int, int, int]]],
    min_size: int,
    max_size: int,
) -> tuple[()]:
    """Write images/ under ``images``, masks/ and instances/ under ``truth``; ``jobs`` are ids and scene seeds."""
    for folder in (images / "images", truth / "masks", truth / "instances"):
        folder.mkdir(parents=True, exist_ok=True)
    one = partial(_draw_one, images=images, truth=truth, min_size=min_size, max_size=max_size)
    in_processes(one, [job for job in jobs if job[0] in ids], workers, "drawing")
    return ()


def _jobs(seed: int, train: int, val: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for number, (name, count) in enumerate((("train", train), ("val", val))):
        yield from ((_id(name, k), (seed, number, k)) for k in range(count))


def _id(split: str, k: int) -> str:
    return f"{split}_{k:05d}"


def _listed(split: str, k: int) -> Listed:
    id = _id(split, k)
    return Listed(id, f"images/{id}.png", f"masks/{id}.png", f"instances/{id}.png", where=f"{split} {k}")


def _draw_one(job: tuple[str, tuple[int, int, int]], images: Path, truth: Path, min_size: int, max_size: int) -> None:
    id, seed = job
    scene = make_scene(np.random.default_rng(seed), min_size, max_size)
    PILImage.fromarray(scene.image).save(images / "images" / f"{id}.png", compress_level=4)
    write_indices(truth / "masks" / f"{id}.png", scene.mask)
    write_indices(truth / "instances" / f"{id}.png", scene.instances)
