"""folder: a practitioner's folder of images with a CSV of tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

from models.errors import ConfigurationError, DataError, closest
from models.options import Count, ShareBelowOne, require
from models.structures import IGNORE
from pipeline.datasets.file_names import nfc
from pipeline.datasets.folder_images import FolderImages, inside
from pipeline.datasets.folder_masks import MaskFiles, coverage, mask_files
from pipeline.datasets.image_formats import SUFFIXES
from pipeline.datasets.labelmap import LabelMap, coloured
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.tag_table import TagTable
from pipeline.datasets.tag_words import BACKGROUND_ONLY, is_background
from pipeline.problems.notices import Notice, first_of
from stages.prepare import Problem

__all__ = ["BACKGROUND_ONLY", "SUFFIXES", "TagTable", "folder"]

_Found: TypeAlias = tuple[list[Listed | None], list[Problem], list[Notice]]


def folder(
    root: str,
    *,
    images: str = "images",
    tags: str | None = "tags.csv",
    masks: str | None = None,
    classes: list[str] | None = None,
    mask_values: dict[str, int] | None = None,
    labelmap: str | None = None,
    upright: bool = True,
    split_folders: dict[str, str] | None = None,
    val_fraction: ShareBelowOne = 0.2,
    seed: Count = 0,
) -> Listing:
    """List a folder of images and its subfolders.

    An image's id is its path below the folder, without suffix: ``s0.png`` is ``s0``, ``cam1/s0.png`` is ``cam1_s0``.

    The CSV has a column ``image`` (path of the file or id, with or without suffix) and either a column ``tags`` (class
    names separated by ``;``, or ``background`` for none), or a column ``tag`` with one class a row and a row for each
    class of an image, or a column with 0 or 1 (true or false, yes or no) for each class; a column ``split`` names each
    image's split. An empty tags cell is an error unless the image has a mask. Names in other tools' forms are taken
    where they can mean one thing only, and said in a warning.

    Args:
        root: relative to the project root.
        images: folder of the images under ``root``.
        tags: CSV under ``root``; None takes every image, without tags (they can be derived from masks).
        masks: folder under ``root`` of PNGs (same name) with values 0..C and 255 void; an image may lack one.
        classes: names in the order of their numbers; None sorts the names of the CSV.
        mask_values: value of each class in the masks, where these are not 1..C, and of the ``background``, where that
            is not 0. If a class has 0, no value is background.
        labelmap: for masks of colours, the file that says what each means (CVAT's labelmap.txt, or lines ``name,r,g,b``
            or ``r g b name``), under ``root`` or relative to the project root; or "voc" for VOC's own colours. Without
            ``classes`` its classes are taken, in their order.
        upright: turn images as their EXIF orientation says. Masks that were drawn on the stored pixels, as by programs
            that read images with OpenCV's IMREAD_UNCHANGED or NumPy, want false.
        split_folders: split -> folder under ``images``: its images, with all below, are the split, and images elsewhere
            are none of the data set. None divides the images by ``val_fraction``, or by a column ``split``.
        val_fraction: without a ``split`` column, the part of the images that becomes "val" (of those with masks,
            where there are masks; all others are "train"). 0 makes no "val". A class's last image stays in "train".
        seed: of that choice, which depends on the ids and not on their order.

    Raises:
        ConfigurationError: options that contradict each other.
        DataError: no such folder, one of ``split_folders`` without an image, a CSV that cannot be read, or masks of
            which none belongs to an image.
    """
    require("folder", folder, {"val_fraction": val_fraction, "seed": seed})
    _check_classes(classes)
    if labelmap is not None and (masks is None or mask_values is not None):
        raise ConfigurationError("folder: expected `labelmap` with `masks` and without `mask_values`.")
    place = Path(root)
    colours = None if labelmap is None else LabelMap.of(labelmap, place)
    classes = list(colours.names) if colours is not None and classes is None else classes
    within = split_folders or {}
    there = FolderImages(place, images, [masks] if masks is not None else [], list(within.values()))
    there.require(within)
    table = None if tags is None else TagTable.read(place / tags, classes)
    if table is None and classes is None:
        raise ConfigurationError("folder: without a CSV of tags, name the `classes` in the order of the mask values.")
    names = tuple(map(nfc, classes)) if classes is not None else table.classes if table else ()
    drawn = MaskFiles()
    if masks is not None:
        drawn = mask_files(place / masks, {id: paths[0] for id, paths in there.files.items()})
    named = {id: f"{masks}/{path}" for id, path in drawn.of.items()}
    listed, problems, notices = _all(there, named) if table is None else _tagged(table, there, named, names)
    if table is not None and table.has_splits:
        splits = _named_splits(table, listed)
    elif split_folders:
        known = [item for item in listed if item is not None]
        splits = {name: _below(f"{images}/{inside(folder)}", known) for name, folder in split_folders.items()}
    else:
        splits = _drawn_splits([item for item in listed if item is not None], val_fraction, seed)
    masked = {name: {item.id: item.mask is not None for item in items} for name, items in splits.items()}
    notices = [*there.notices(), *drawn.notices, *notices, *(coverage(masked) if drawn.of else ())]
    background, values = _mask_values(names, mask_values)
    listing = Listing(
        place.as_posix(),
        names,
        splits,
        values,
        max((*values, background or 0, 0)),
        [*there.problems(), *drawn.problems, *problems],
        notices,
        upright=upright,
        mask_background=background,
        order_option="classes" if colours is None else "",
    )
    return listing if colours is None else coloured(listing, colours.numbered(names))


def _check_classes(classes: Sequence[str] | None) -> None:
    ground = [name for name in classes or () if is_background(name)]
    if ground:
        raise ConfigurationError(
            f"folder: expected `classes` without the background, which is 0 in the masks, found '{ground[0]}'. Remedy: "
            "leave it out; the first class is 1 in the masks, unless `mask_values` say otherwise."
        )


def _mask_values(names: Sequence[str], given: Mapping[str, int] | None) -> tuple[int | None, tuple[int, ...]]:
    """The background's value in the masks (None: no value is), and that of each class.

    Raises:
        ConfigurationError: unknown or missing classes, or values that are no different whole numbers within 0..255.
    """
    if given is None:
        return 0, tuple(range(1, len(names) + 1))
    plain = {nfc(name): value for name, value in given.items()}
    known = {*names, BACKGROUND_ONLY}
    for name in plain:
        if name not in known:
            raise ConfigurationError(f"folder: mask_values: unknown class '{name}'.{closest(name, known)}")
    missing = [name for name in names if name not in plain]
    if missing:
        raise ConfigurationError(f"folder: mask_values: expected a value for each class, found none for {missing[0]}.")
    values = tuple(plain[name] for name in names)
    background = plain.get(BACKGROUND_ONLY, None if 0 in values else 0)
    every = [*values, *([] if background is None else [background])]
    whole = all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= IGNORE for v in every)
    if not whole or len(set(every)) < len(every):
        found = first_of([str(value) for value in every], 8)
        raise ConfigurationError(f"folder: mask_values: expected different whole numbers within 0..255, found {found}.")
    return background, values


def _all(images: FolderImages, masks: Mapping[str, str]) -> _Found:
    """Every image, without tags."""
    return [_listed(images, paths[0], masks) for paths in images.files.values()], [], []


def _tagged(table: TagTable, images: FolderImages, masks: Mapping[str, str], names: Sequence[str]) -> _Found:
    """The image of each row, None where it is not there; what is wrong with rows; what may be."""
    paths, problems, notices = table.match(images)
    numbers = {name: number for number, name in enumerate(names, start=1)}
    listed: list[Listed | None] = []
    silent: Counter[str] = Counter()
    for row, path, tags, words in zip(table.rows, paths, table.tags, table.cells_read, strict=True):
        if path is None:
            listed.append(None)
            continue
        item = _listed(images, path, masks)
        unknown = [name for name in tags or () if name not in numbers]
        if unknown:
            found = ", ".join(f"'{name}'" for name in unknown) + f".{closest(unknown[0], names)}"
            problems.append(Problem(item.id, row.where, "classes of the data set", found))
        if tags is None and item.mask is None:
            expected = f"tags, or '{BACKGROUND_ONLY}' for an image without objects"
            problems.append(Problem(item.id, row.where, expected, words))
        elif tags is None and words.startswith("'"):
            silent[words] += 1
        own_tags = None if tags is None else tuple(sorted({numbers[name] for name in tags if name in numbers}))
        listed.append(replace(item, tags=own_tags, where=row.where))
    return listed, problems, [*table.notices, *notices, *_silent_notices(table, silent)]


def _silent_notices(table: TagTable, silent: Counter[str]) -> Iterator[Notice]:
    if silent:
        text = (
            f"{silent.total()} rows of {table.path} say {first_of(list(silent))}, which is no class: what these images "
            f"show is taken from their masks alone. Write '{BACKGROUND_ONLY}' for an image without objects."
        )
        yield Notice("rows_say_nothing", silent.total(), text)


def _listed(images: FolderImages, path: str, masks: Mapping[str, str]) -> Listed:
    relative = images.relative(path)
    id = images.ids[path]
    return Listed(id, relative, masks.get(id), where=str(images.root / relative))


def _named_splits(table: TagTable, listed: Sequence[Listed | None]) -> dict[str, list[Listed]]:
    """Splits by the column. One of whose images none is there stays, empty, so that ``prepare`` tells."""
    splits: dict[str, list[Listed]] = {}
    for row, item in zip(table.rows, listed, strict=True):
        if not row.cells["split"]:
            raise DataError(f"{row.where}: expected a split (train, val, ...), found an empty cell.")
        splits.setdefault(row.cells["split"], []).extend([item] if item is not None else [])
    return splits


def _below(folder: str, listed: Sequence[Listed]) -> list[Listed]:
    return [item for item in listed if nfc(item.image).startswith(nfc(folder))]


def _drawn_splits(listed: Sequence[Listed], val_fraction: float, seed: int) -> dict[str, list[Listed]]:
    """Images by the hash of their ids: the first become "val", but a class's last image only if there are no others."""
    pool = sorted({item.id for item in listed if item.mask is not None} or {item.id for item in listed})
    pool.sort(key=lambda id: (crc32(f"{seed}:{id}".encode()), id))
    tags = {item.id: item.tags or () for item in listed}
    left = Counter(number for numbers in tags.values() for number in numbers)
    count = round(val_fraction * len(listed))
    free: list[str] = []
    last: list[str] = []
    for id in pool:
        if len(free) < count and all(left[number] > 1 for number in tags[id]):
            free.append(id)
            left.subtract(tags[id])
        else:
            last.append(id)
    val = {*free, *last[: count - len(free)]}
    splits = {"train": [i for i in listed if i.id not in val], "val": [i for i in listed if i.id in val]}
    return {name: items for name, items in splits.items() if items or name == "train"}
