"""densepose: images of DensePose-COCO, whose people have points on the parts of their bodies (Güler et al. 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.regular import read_regular

PARTS = (
    "torso", "right hand", "left hand", "left foot", "right foot", "right upper leg", "left upper leg",
    "right lower leg", "left lower leg", "left upper arm", "right upper arm", "left lower arm", "right lower arm",
    "head",
)  # fmt: skip
"""Class c is ``PARTS[c - 1]``, as in the data set's masks of parts."""
PART_OF_SURFACE = (1, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 14)
"""The part of each of the 24 pieces of the body's surface (``dp_I``, counted from 1)."""
MIRRORED = ((2, 3), (4, 5), (6, 7), (8, 9), (10, 11), (12, 13))
"""Parts that change places in a mirrored image: the loader's ``mirrored_classes``."""
BOX = 256
"""Side of a person's box in the units of ``dp_x`` and ``dp_y``."""
LISTS = {"train": "densepose_coco_2014_train.json", "val": "densepose_coco_2014_minival.json"}
FOLDERS = {"train": "train2014", "val": "val2014"}

PartPoint = tuple[int, int, int]
"""(row, column, class) of a point; class 0 is background."""


def densepose(
    root: str,
    *,
    splits: dict[str, str] = LISTS,
    images: dict[str, str] = FOLDERS,
    masks: str | None = None,
    upright: bool = False,
) -> Listing:
    """List the images of DensePose-COCO that have at least one person with points.

    The points themselves are read by ``import_annotations`` (``kind: points``, ``file:`` the same JSON).

    Args:
        root: folder of the lists and the image folders, relative to the project root.
        splits: split name to its JSON under ``root``.
        images: split name to its folder of images under ``root``.
        masks: folder under ``root`` of PNGs (the image's name) with values 0..14 and 255 void; None without.
        upright: apply EXIF orientation; COCO's points are of the stored pixels.

    Raises:
        ConfigurationError: a split without a folder of images.
        DataError: a JSON that is missing or another kind of file.
    """
    listed: dict[str, list[Listed]] = {}
    for split, name in splits.items():
        if split not in images:
            raise ConfigurationError(f"densepose: split '{split}' has no folder of images.{closest(split, images)}")
        path = Path(root) / name
        try:
            content = json.loads(read_regular(path).decode("utf-8"))
            pointed = {person["image_id"] for person in content["annotations"] if "dp_I" in person}
            named = [image["file_name"] for image in content["images"] if image["id"] in pointed]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _not_densepose(path, error) from None
        listed[split] = [_listed(Path(root), images[split], file, masks, str(path)) for file in sorted(named)]
    values = tuple(range(1, len(PARTS) + 1))
    return Listing(Path(root).as_posix(), PARTS, listed, values, len(PARTS), upright=upright)


def is_densepose(content: Any) -> bool:
    """Whether the content of a JSON is DensePose-COCO's."""
    return isinstance(content, dict) and isinstance(content.get("annotations"), list)


def part_points(content: Mapping[str, Any]) -> Iterator[tuple[str, list[PartPoint]]]:
    """(id, points) of every image: for each person and part one point, and one on the background.

    Of a part's points it is the one nearest to their middle. The background's is the pixel that is farthest from all
    people's boxes, if they leave any.

    Raises:
        KeyError, TypeError, ValueError, IndexError: the content is no DensePose-COCO.
    """
    people: dict[int, list[Mapping[str, Any]]] = {}
    for person in content["annotations"]:
        people.setdefault(person["image_id"], []).append(person)
    for image in content["images"]:
        there, size = people.get(image["id"], []), (int(image["height"]), int(image["width"]))
        points = [point for person in there if "dp_I" in person for point in _of_person(person, size)]
        yield Path(image["file_name"]).stem, [*points, *_background(there, size)]


def _of_person(person: Mapping[str, Any], size: tuple[int, int]) -> Iterator[PartPoint]:
    """``dp_x`` and ``dp_y`` are in units of the person's box, 256 to a side."""
    left, top, width, height = person["bbox"]
    place = np.array([person["dp_y"], person["dp_x"]], np.float64).T * (height / BOX, width / BOX) + (top, left)
    part = np.array([PART_OF_SURFACE[int(piece) - 1] for piece in person["dp_I"]])
    for number in np.unique(part):
        of_part = place[part == number]
        middle = of_part[np.square(of_part - of_part.mean(0)).sum(1).argmin()]
        row, column = np.clip(middle.astype(int), 0, np.array(size) - 1)
        yield int(row), int(column), int(number)


def _background(people: list[Mapping[str, Any]], size: tuple[int, int]) -> Iterator[PartPoint]:
    free = np.ones(size, bool)
    for person in people:
        left, top, width, height = person["bbox"]
        free[max(int(top), 0) : int(np.ceil(top + height)), max(int(left), 0) : int(np.ceil(left + width))] = False
    if free.any() and not free.all():
        from scipy.ndimage import distance_transform_edt  # here: no other file of points has need of it

        row, column = np.unravel_index(int(distance_transform_edt(free).argmax()), size)
        yield int(row), int(column), 0


def _listed(root: Path, folder: str, file: str, masks: str | None, where: str) -> Listed:
    mask = None if masks is None else f"{masks}/{Path(file).stem}.png"
    there = mask is not None and (root / mask).is_file()
    return Listed(Path(file).stem, f"{folder}/{file}", mask if there else None, where=where)


def _not_densepose(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path}: expected a JSON of DensePose-COCO (images, and annotations with bbox, dp_x, dp_y, dp_I), "
        f"found {type(error).__name__}: {error}."
    )
