"""The images that a user names: folders, globs and files, each with a name of its own for what is written."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataError, closest
from pipeline.datasets.image_formats import SUFFIXES, by_suffix, is_raw
from pipeline.problems.notices import Notice, first_of


@dataclass(frozen=True, slots=True)
class Input:
    """An image file, and the name (without suffix) of everything that is written about it."""

    name: str
    path: Path


def find_images(named: Sequence[str]) -> list[Input]:
    """The images of folders (by suffix, not of their subfolders), globs (``**`` included) and single files.

    A file that is named twice counts once. Two files of one stem are told apart by their suffix, else by their folder.

    Raises:
        DataError: something that is not there, a glob that matches nothing, or a folder without images.
    """
    if not named:
        raise DataError("No images were named. Name a folder, a glob in quotes or files.")
    paths = dict.fromkeys(_plain(path) for item in named for path in _expand(item))
    return _named_apart(list(paths))


def passed_over(named: Sequence[str]) -> list[Notice]:
    """What lies in the folders that are named and is not looked at: other files, and images in folders below."""
    folders = [Path(item) for item in named if Path(item).is_dir()]
    entries = [entry for folder in folders for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    files = [entry for entry in entries if entry.is_file() and not _is_image(entry)]
    below = [entry for entry in entries if entry.is_dir() and _is_folder_of_images(entry)]
    notices = []
    if files:
        first = first_of([entry.name for entry in files])
        text = f"Passed over, for their names are not those of images: {by_suffix(files)} ({first})."
        raw = any(is_raw(entry) for entry in files)
        text += " A camera's raw files have to be exported as JPEG or PNG." if raw else ""
        notices.append(Notice("files_passed_over", len(files), text))
    if below:
        suffix = next(entry.suffix for entry in sorted(below[0].iterdir()) if _is_image(entry))
        first, remedy = first_of([str(entry) for entry in below]), f"name '{below[0].parent}/**/*{suffix}'"
        text = f"Passed over: folders below that hold images ({first}). To take them {remedy}."
        notices.append(Notice("folders_passed_over", len(below), text))
    return notices


def _plain(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _expand(item: str) -> Iterator[Path]:
    path = Path(item)
    if path.is_dir():
        yield from _images_of(path)
    elif path.exists():
        yield path
    elif glob.has_magic(item):
        files = [Path(match) for match in sorted(glob.glob(item, recursive=True)) if Path(match).is_file()]
        if not files:
            raise DataError(f"{item}: no file matches. Check the pattern, and put it in quotes.")
        yield from files
    else:
        raise DataError(f"{item}: no such file or folder.{_alike(path)}")


def _alike(path: Path) -> str:
    """What lies beside it under almost this name and could be read: a folder of images, or an image."""
    if not path.parent.is_dir():
        return ""
    beside = [entry for entry in sorted(path.parent.iterdir()) if _is_image(entry) or _is_folder_of_images(entry)]
    return closest(path.name, [entry.name for entry in beside]).partition(" Valid:")[0]


def _is_folder_of_images(path: Path) -> bool:
    try:
        return path.is_dir() and any(_is_image(entry) for entry in path.iterdir())
    except PermissionError:
        return False


def _images_of(folder: Path) -> list[Path]:
    images = [path for path in sorted(folder.iterdir()) if _is_image(path)]
    if not images:
        below = next((path for path in folder.rglob("*") if _is_image(path)), None)
        remedy = (
            f"Its subfolders do: name '{folder}/**/*{below.suffix}'." if below else f"Known: {', '.join(SUFFIXES)}."
        )
        raise DataError(f"{folder}: this folder holds no image file. {remedy}")
    return images


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _named_apart(paths: list[Path]) -> list[Input]:
    """Names that differ also where capitals do not count; the shortest that do."""
    parents = [os.path.abspath(path.parent) for path in paths]
    common = os.path.commonpath(parents) if parents else ""
    wishes = []
    for path, parent in zip(paths, parents, strict=True):
        with_suffix = f"{path.stem}_{path.suffix.removeprefix('.')}"
        folders = [part for part in os.path.relpath(parent, common).split(os.sep) if part != "."]
        wishes.append([_safe(name) for name in (path.stem, with_suffix, "_".join([*folders, with_suffix]))])
    counts = Counter(name.casefold() for names in wishes for name in set(names))
    taken: set[str] = set()
    inputs = []
    for path, names in zip(paths, wishes, strict=True):
        name = next((name for name in names if counts[name.casefold()] == 1), names[-1])
        unique, number = name, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique.casefold())
        inputs.append(Input(unique, path))
    return inputs


def _safe(name: str) -> str:
    """Fit for a file name anywhere: no separators, no control characters, no leading dot."""
    return re.sub(r'[\x00-\x1f/\\:*?"<>|]', "_", name).lstrip(".") or "image"
