"""Folders with a file for each image: which file is whose, and which files are nobody's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from pipeline.annotations.items import Known
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.folder_images import is_unseen
from pipeline.datasets.image_names import ImageNames

ENDINGS = (
    "_mask", "-mask", "_masks", "_label", "_labels", "-label", "_seg", "_segmentation", "_gt", "_scribble",
    "_scribbles", "-scribble", "-scribbles", "_regions", "_annotation", "_annotations",
)  # fmt: skip
"""What tools put behind the image's name."""
_Sorted: TypeAlias = tuple[dict[str, list[Path]], list[str]]
"""Files by the id of their image, and names of the others."""


@dataclass(frozen=True)
class Files:
    """Files by the id of their image.

    Attributes:
        paths: in the order of the ids that were asked for; images without a file are left out.
        strangers: names of files that belong to no image of the catalogue; empty where nobody had to look.
        problems: images with several files, of which none is in ``paths``.
        several: the ids of these images.
    """

    paths: dict[str, Path]
    strangers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    several: tuple[str, ...] = ()

    @property
    def ids(self) -> set[str]:
        """Images with a file, or with several: who passes these on to a check learns of the problems there."""
        return {*self.paths, *self.several}


class LabelFolder:
    """Finds files by the images' names: also in other Unicode, in folders like the images', and with a mask's ending.

    Args:
        folder: is looked into, with all below.
        catalogue: of the images.
        suffixes: of the files, in small letters; the first one is that of the plain name.
    """

    def __init__(self, folder: Path, catalogue: Catalogue, suffixes: Sequence[str]) -> None:
        self.folder, self.catalogue, self.suffixes = folder, catalogue, tuple(suffixes)

    def find(self, ids: Sequence[str], all_files: bool = False) -> Files:
        """The files of these images.

        Args:
            ids: of the catalogue.
            all_files: look at all files even if every image has one under its plain name: for strangers, and for images
                that have another one too.
        """
        plain = {id: path for id in ids if (path := self.folder / f"{id}{self.suffixes[0]}").is_file()}
        if len(plain) == len(ids) and not all_files:
            return Files(plain)
        by_id, strangers = self._sorted()
        problems, paths, several = [], {}, []
        for id in ids:
            listed = [path for path in by_id.get(id, []) if path.is_file()]  # the listing may be of a moment ago
            there = list(dict.fromkeys([*([plain[id]] if id in plain else []), *listed]))
            if len(there) > 1:
                names = ", ".join(str(path) for path in there[:3])
                found = f"found {len(there)}: {names}. Remedy: keep the one that counts"
                problems.append(f"{self.folder}: expected one file for image '{id}', {found}.")
                several.append(id)
            elif there:
                paths[id] = there[0]
        return Files(paths, tuple(strangers), tuple(problems), tuple(several))

    def ids(self, fresh: bool = False) -> set[str]:
        """Images of the catalogue with a file, or with several.

        Args:
            fresh: list the folder anew, for who writes into it: its time may stay the same within a few milliseconds.
        """
        by_id, _ = _sort(self.folder, self.suffixes, self.catalogue) if fresh else self._sorted()
        return set(by_id)

    def _sorted(self) -> _Sorted:
        written = self.folder.stat().st_mtime_ns if self.folder.is_dir() else 0
        return _sorted(self.folder, Path.cwd(), written, self.suffixes, Known.of(self.catalogue))


@lru_cache(maxsize=4)
def _sorted(folder: Path, cwd: Path, written: int, suffixes: tuple[str, ...], known: Known) -> _Sorted:
    """As :func:`_sort`: once a process, and not once a part."""
    return _sort(folder, suffixes, known.catalogue)


def _sort(folder: Path, suffixes: tuple[str, ...], catalogue: Catalogue) -> _Sorted:
    """The folder's files by the id of their image, and the others."""
    names = ImageNames(catalogue)
    by_id: dict[str, list[Path]] = {}
    strangers = []
    for relative in _files_below(folder, suffixes):
        stem = relative.rpartition(".")[0]
        id = names.find(stem) or next((match for short in _shorter(stem) if (match := names.find(short))), None)
        if id is None:
            strangers.append(relative)
        else:
            by_id.setdefault(id, []).append(folder / relative)
    return by_id, strangers


def _files_below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Paths below the folder with one of the suffixes, in order; what systems and editors leave behind is left out."""
    for place, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if not is_unseen(name))
        inside = Path(place).relative_to(folder)
        seen = (file for file in sorted(files) if not is_unseen(file) and file.lower().endswith(suffixes))
        yield from ((inside / file).as_posix() for file in seen)


def _shorter(stem: str) -> Iterator[str]:
    """The stem without what tools put behind the image's name."""
    lower = stem.lower()
    yield from (stem[: -len(ending)] for ending in ENDINGS if lower.endswith(ending))
    if lower.endswith((".jpg", ".jpeg", ".png")):  # "a.jpg.png"
        yield stem.rpartition(".")[0]
