"""Where the images of COCO lie: people keep them in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from models.errors import DataError
from pipeline.datasets.coco_json import id_of

SAMPLE = 20
"""Images that are looked for in each place."""


def find_images(base: Path, name: str, folder: str | None, file_names: Sequence[str]) -> list[str]:
    """Paths of the images under ``base``, in order.

    The place is the one that has most of a few images of the list; an image that it lacks is found out when it is read.

    Args:
        base: the data set's root.
        name: of the split, as in ``train2014``.
        folder: under ``base``; None tries the usual ones.
        file_names: as the annotations have them.

    Raises:
        DataError: none of the images is in any of the places.
    """
    roots = ("images", "Images", "JPEGImages")
    folders = [folder] if folder is not None else [name, *(f"{root}/{name}" for root in roots), *roots, "."]
    places = [(PurePosixPath(place), naming) for place in folders for naming in (_as_listed, _by_number)]
    sample = list(file_names[:: max(len(file_names) // SAMPLE, 1)])
    hits = [sum((base / place / naming(file)).is_file() for file in sample) for place, naming in places]
    if sample and max(hits) == 0:
        looked = ", ".join(f"{place}/" for place in folders)
        raise DataError(
            f"{base}: expected images such as {sample[0]} in one of {looked} found none. "
            "Name their folder in `images`, or set `download: true` where there is internet."
        )
    place, naming = places[hits.index(max(hits))] if sample else places[0]
    return [(place / naming(file)).as_posix() for file in file_names]


def _as_listed(file: str) -> str:
    return file


def _by_number(file: str) -> str:
    return f"{id_of(file)}{PurePosixPath(file).suffix}"
