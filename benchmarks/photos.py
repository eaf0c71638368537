"""A folder of made pictures with tags.csv, as `init` takes it: to try your way through without photos.

python -m benchmarks.photos FOLDER --images 120 [--wrong 1] [--masks] [--seed 0]
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.compute.runtime import workers
from pipeline.datasets.images import write_indices
from pipeline.datasets.parallel import in_processes
from pipeline.datasets.toy_animals import ANIMALS
from pipeline.datasets.toy_scenes import make_scene

SIDES = (200, 280)
"""Smallest and largest height and width in pixels."""


def name(number: int) -> str:
    return f"photo_{number:03d}"


def draw(number: int, folder: Path, seed: int, masks: bool) -> list[str]:
    """Write the picture of a number, and its mask if wanted (0 background, then the classes in alphabetical order).

    Returns:
        The classes that the picture shows, in alphabetical order.
    """
    scene = make_scene(np.random.default_rng((seed, number)), *SIDES)
    Image.fromarray(scene.image).save(folder / "images" / f"{name(number)}.jpg", quality=92)
    if masks:
        ranks = np.argsort(np.argsort([animal.name for animal in ANIMALS])) + 1
        table = np.concatenate([[0], ranks]).astype(np.uint8)
        write_indices(folder / "masks" / f"{name(number)}.png", table[scene.mask])
    return sorted(ANIMALS[label - 1].name for label in np.unique(scene.mask) if label)


def mistaken(tags: Sequence[str]) -> list[str]:
    """Tags with a mistake: an animal that is not there in place of the first that is."""
    absent = next(animal.name for animal in ANIMALS if animal.name not in tags)
    return [absent, *tags[1:]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--wrong", type=int, default=0, help="how many of the first images get a wrong tag")
    parser.add_argument("--masks", action="store_true", help="write masks/ too, to measure against")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if not 0 <= given.wrong <= given.images or given.images < 1:
        parser.error("expected --images of 1 or more, and --wrong of 0 up to --images.")
    if given.folder.exists():
        sys.exit(f"{given.folder}: is there already. Name another folder, or remove it.")
    for place in ("images", *(["masks"] if given.masks else [])):
        (given.folder / place).mkdir(parents=True)
    numbers = range(1, given.images + 1)
    one = partial(draw, folder=given.folder, seed=given.seed, masks=given.masks)
    shown = in_processes(one, numbers, workers(), "drawing")
    with (given.folder / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "tags"])
        for number, tags in zip(numbers, shown, strict=True):
            table.writerow([f"{name(number)}.jpg", ";".join(mistaken(tags) if number <= given.wrong else tags)])
    print(f"{given.folder}: {given.images} pictures, tags.csv{', masks' if given.masks else ''}")


if __name__ == "__main__":
    main()
