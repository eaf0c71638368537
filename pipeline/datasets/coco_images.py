"""Where the images of COCO lie: people keep them in several ways, and tools write paths of their own machine."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from models.errors import DataError
from pipeline.datasets.coco_names import OFFICIAL, id_of
from pipeline.datasets.coco_values import short
from pipeline.datasets.folder import SUFFIXES
from pipeline.problems.notices import first_of

SAMPLE = 20
"""Images that are looked for in each place."""
ROOTS = ("images", "Images", "JPEGImages")
UPLOADED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?[-_](?=.)")
"""What Label Studio puts before the name of a file that is uploaded to it."""
ROBOFLOW = re.compile(r"(.+)_([a-z]{3,4})\.rf\.\w+\.\w+", re.IGNORECASE)
"""Roboflow's name of a.jpg is a_jpg.rf.HASH.jpg."""


@dataclass(frozen=True)
class ImagePlace:
    """Where a listed image lies.

    Attributes:
        path: below the root; of an image that is not there, where it would be.
        exists: the file is there.
        elsewhere: it was found by the last part of its name.
        rivals: files that it might be as well, or the other listed names that the one file might be of.
    """

    path: str
    exists: bool = True
    elsewhere: bool = False
    rivals: tuple[str, ...] = ()


def find_images(base: Path, folders: Sequence[str], names: Sequence[str]) -> list[ImagePlace]:
    """The files of images, in order.

    The place is the folder that has most of a few images of the list. What is not there is looked for by its last
    parts in all folders below the root: it must be the only file that fits, and fit only one of the names.

    Args:
        base: the data set's root.
        folders: places under ``base``, the likeliest first.
        names: of the images, from :func:`pipeline.datasets.coco_names.plain_name`.

    Raises:
        DataError: none of the images is in any of the places.
    """
    places = [(PurePosixPath(folder), naming) for folder in folders for naming in (_as_listed, _by_number)]
    sample = list(names[:: max(len(names) // SAMPLE, 1)])
    hits = [sum(os.path.isfile(base / place / naming(name)) for name in sample) for place, naming in places]
    place, naming = places[hits.index(max(hits))] if sample else places[0]
    paths = [(place / naming(name)).as_posix() for name in names]
    index = _Index(base, tuple(folders))
    results = []
    for name, path in zip(names, paths, strict=True):
        if os.path.isfile(base / path):
            results.append(ImagePlace(path, elsewhere=_is_elsewhere(name, path)))
        else:
            best = index.find(name)
            results.append(
                ImagePlace(best[0], elsewhere=True) if len(best) == 1 else ImagePlace(path, False, rivals=best)
            )
    _each_for_one(names, paths, results)
    if names and not any(one.exists or one.rivals for one in results):
        looked = ", ".join(f"{folder}/" for folder in folders)
        raise DataError(
            f"{base}: expected images such as {short(names[0], 120)} in one of {looked} or in a folder below, found "
            f"none. {index.summary()} Set `root` to the folder that holds annotations and images, "
            "name the images' folder in `images`, or set `download: true` for COCO's own where there is internet."
        )
    return results


def _is_elsewhere(name: str, path: str) -> bool:
    """Some of a listed name is not in the path, and it is not COCO's name, whose number is enough."""
    return not f"/{path}".endswith(f"/{name}") and OFFICIAL.fullmatch(PurePosixPath(name).stem) is None


def _each_for_one(names: Sequence[str], paths: Sequence[str], results: list[ImagePlace]) -> None:
    """A file that was found by the last part of a name stands for one name, or for none."""
    owners: dict[str, set[str]] = {}
    for name, one in zip(names, results, strict=True):
        if one.exists:
            owners.setdefault(one.path, set()).add(name)
    for k, one in enumerate(results):
        if one.elsewhere and len(owners[one.path]) > 1:
            results[k] = ImagePlace(paths[k], False, rivals=(one.path,))


def unlisted(base: Path, listed: Iterable[str], others: Iterable[str]) -> list[str]:
    """Image files in the folders of the listed images that are not listed, as paths below ``base``, sorted.

    Args:
        base: the data set's root.
        listed: paths of the listed images.
        others: names of further images that a file lists.
    """
    known = set(listed)
    folders = sorted({str(PurePosixPath(path).parent) for path in known})
    common = os.path.commonpath(folders) if len(folders) > 1 else ""
    if common not in ("", "."):
        folders = sorted({str(PurePosixPath(path).parent) for path in _files(base, common)} | set(folders))
    apart = {_alike(PurePosixPath(name).name) for name in others}
    present = [
        path
        for folder in folders
        for path in _names_in(base, folder)
        if path not in known and path.lower().endswith(SUFFIXES)
    ]
    return [path for path in present if _alike(PurePosixPath(path).name) not in apart]


def _names_in(base: Path, folder: str) -> list[str]:
    if not (base / folder).is_dir():
        return []
    folder_path = PurePosixPath(folder)
    return sorted(
        (folder_path / entry.name).as_posix() for entry in os.scandir(base / folder) if not entry.name.startswith(".")
    )


def _files(base: Path, folder: str = ".") -> Iterator[str]:
    """Files below, without hidden folders; links are followed once."""
    seen: set[str] = set()
    for place, inner, files in os.walk(base / folder, followlinks=True):
        real = os.path.realpath(place)
        inner[:] = [] if real in seen else sorted(name for name in inner if not name.startswith("."))
        if real not in seen:
            seen.add(real)
            relative = PurePosixPath(Path(place).relative_to(base).as_posix())
            yield from ((relative / name).as_posix() for name in sorted(files) if not name.startswith("."))


@dataclass(frozen=True)
class _Index:
    """Files below the root by name; made when an image is not where it should be."""

    base: Path
    folders: tuple[str, ...]

    def find(self, name: str) -> tuple[str, ...]:
        """Paths of the files that fit best; several where none fits better than the others."""
        file_name = PurePosixPath(name).name
        for table, keys in (
            (self._by_name, (file_name, _by_number(file_name))),
            (self._by_name, (UPLOADED.sub("", file_name, count=1), ROBOFLOW.sub(r"\1.\2", file_name))),
            (self._by_short, (file_name,)),
            (self._by_stem, (PurePosixPath(file_name).stem if file_name.lower().endswith(SUFFIXES) else file_name,)),
        ):
            paths = list(dict.fromkeys(path for key in keys for path in table.get(_alike(key), ())))
            if paths:
                return self._best(name, paths)
        return ()

    def summary(self) -> str:
        """The images that are there instead."""
        images = [path for path in self._all if path.lower().endswith(SUFFIXES)]
        return f"There are {len(images)} images of other names: {first_of(images)}." if images else "There is no image."

    def _best(self, name: str, paths: list[str]) -> tuple[str, ...]:
        """By the number of last parts that agree, then by the place."""
        ranks = [(-_common_tail(name, path), self._place(path)) for path in paths]
        return tuple(path for path, rank in zip(paths, ranks, strict=True) if rank == min(ranks))

    def _place(self, path: str) -> int:
        folder = PurePosixPath(path).parent.as_posix()
        return self.folders.index(folder) if folder in self.folders else len(self.folders)

    @cached_property
    def _all(self) -> list[str]:
        return list(_files(self.base))

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _table((PurePosixPath(path).name, path) for path in self._all)

    @cached_property
    def _by_short(self) -> dict[str, list[str]]:
        """Names on this disk without what a tool put before or behind."""
        names = ((PurePosixPath(path).name, path) for path in self._all)
        pairs = ((UPLOADED.sub("", ROBOFLOW.sub(r"\1.\2", name), count=1), path) for name, path in names)
        return _table((name, path) for name, path in pairs if name != PurePosixPath(path).name)

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """Other suffixes, in the places of images alone: a mask has its image's stem."""
        images = (path for path in self._all if path.lower().endswith(SUFFIXES))
        return _table((PurePosixPath(p).stem, p) for p in images if self._place(p) < len(self.folders))


def _table(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for name, path in pairs:
        table.setdefault(_alike(name), []).append(path)
    return table


def _alike(name: str) -> str:
    """Capitals and the two ways to write an accent do not count."""
    return unicodedata.normalize("NFC", name).casefold()


def _common_tail(name: str, path: str) -> int:
    """Folders that agree, from the last one on; the names themselves need not."""
    pairs = zip(reversed(name.split("/")[:-1]), reversed(path.split("/")[:-1]), strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if _alike(a) != _alike(b)), min(name.count("/"), path.count("/")))


def _as_listed(name: str) -> str:
    return name


def _by_number(name: str) -> str:
    return f"{id_of(name)}{PurePosixPath(name).suffix}"
