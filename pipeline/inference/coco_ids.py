"""The ids of a COCO file of the user's own, for predictions that are compared with it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.coco_json import read_images
from pipeline.datasets.coco_names import id_of, plain_name
from pipeline.datasets.coco_values import short, whole_number
from pipeline.inference.inputs import Input
from pipeline.problems.notices import Notice, first_of

Size = tuple[int, int]


@dataclass(frozen=True)
class CocoIds:
    """Ids as the user's file writes them.

    Attributes:
        path: the file.
        images: path of an input, with forward slashes, to its entry in ``images``.
        categories: the file's entries.
        by_class: class name to its category's id.
    """

    path: Path
    images: Mapping[str, Mapping[str, Any]]
    categories: Sequence[Mapping[str, Any]]
    by_class: Mapping[str, Any]


def read_ids(path: Path, class_names: Sequence[str], inputs: Sequence[Input]) -> CocoIds:
    """Find each input and each class in a COCO file (annotations are not needed).

    An input is the image whose file_name has its name, and where several have, as many of its folders as no other.

    Raises:
        ConfigurationError: a class that the file does not have.
        DataError: no COCO file, or inputs that are no images of it.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a COCO file of these images, found none. Remedy: name it with --coco-ids.")
    listed, categories = read_images(path)
    by_class = {str(entry["name"]): entry["id"] for entry in reversed(categories)}
    unknown = next((name for name in class_names if name not in by_class), None)
    if unknown is not None:
        raise ConfigurationError(f"{path}: the class '{unknown}' is no category.{closest(unknown, by_class)}")
    tables = _tables(listed)
    entries = {item.path.as_posix(): _entry(item.path, tables) for item in inputs}
    strange = [name for name, entry in entries.items() if entry is None]
    if strange:
        raise DataError(
            f"{path}: expected the images that are named, found no single image for {len(strange)} of {len(entries)}: "
            f"{first_of(strange)}. It lists {len(listed)}, such as {short(listed[0]['file_name'])}. "
            "Remedy: name the images of this file alone, or another file."
        )
    images = {name: entry for name, entry in entries.items() if entry is not None}
    twice = [id for id, count in Counter(str(entry["id"]) for entry in images.values()).items() if count > 1]
    if twice:
        same_id = [name for name, entry in images.items() if str(entry["id"]) == twice[0]]
        raise DataError(
            f"{path}: expected one input for each image, found for id {short(twice[0])}: {first_of(same_id)}."
        )
    return CocoIds(path, images, categories, by_class)


def size_notices(ids: CocoIds, sizes: Mapping[str, Size]) -> list[Notice]:
    """Images whose masks are of another size than the file says: they cannot be compared with its annotations."""
    wrong = []
    for name, size in sizes.items():
        stated = tuple(whole_number(ids.images[name].get(side)) for side in ("height", "width"))
        if None not in stated and stated != size:
            wrong.append(f"{name} ({stated[0]} x {stated[1]} stated, {size[0]} x {size[1]} found, H x W)")
    if not wrong:
        return []
    text = f"{ids.path}: {len(wrong)} of {len(sizes)} images have another size than it says: {first_of(wrong)}. "
    text += "Their predictions cannot be compared with its annotations. (Images are turned as EXIF says.)"
    return [Notice("sizes_of_coco_file", len(wrong), text)]


def _tables(listed: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[Mapping[str, Any]]], ...]:
    """Entries by file name, and by stem or number for images that have another suffix."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    by_stem: dict[str, list[Mapping[str, Any]]] = {}
    for entry in listed:
        name = plain_name(entry["file_name"])
        by_name.setdefault(_alike(PurePosixPath(name).name), []).append(entry)
        by_stem.setdefault(_alike(id_of(name)), []).append(entry)
    return by_name, by_stem


def _entry(path: Path, tables: Sequence[Mapping[str, list[Mapping[str, Any]]]]) -> Mapping[str, Any] | None:
    for table, key in zip(tables, (path.name, id_of(path.as_posix())), strict=True):
        entries = table.get(_alike(key), [])
        if entries:
            folders = path.absolute().as_posix().split("/")[-2::-1]
            ranks = [_agreeing(folders, plain_name(entry["file_name"]).split("/")[-2::-1]) for entry in entries]
            return entries[ranks.index(max(ranks))] if ranks.count(max(ranks)) == 1 else None
    return None


def _agreeing(folders: Sequence[str], others: Sequence[str]) -> int:
    """Folders that agree, from the last one on."""
    pairs = list(zip(folders, others, strict=False))
    return next((k for k, (one, other) in enumerate(pairs) if _alike(one) != _alike(other)), len(pairs))


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
