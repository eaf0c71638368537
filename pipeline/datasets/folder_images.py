"""The folder of images that reader ``folder`` lists: files, ids made of their paths, and what is passed over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from models.errors import DataError
from pipeline.datasets.file_names import NameIndex, nfc, path_id, shown
from pipeline.datasets.image_formats import AS_JPEG, RAW_SUFFIXES, SUFFIXES
from pipeline.problems.notices import Notice, first_of
from stages.prepare import Problem

UNSEEN = ("thumbs.db", "desktop.ini", "__macosx")
"""What systems leave behind; so are names with a leading dot."""
BESIDE = (".csv", ".tsv", ".txt", ".md", ".json", ".yaml", ".yml", ".xlsx", ".ods", ".xml", ".npy")
"""What may lie in the data's own folder, where that is the folder of images."""


def is_unseen(name: str) -> bool:
    """A file or folder that no person put there."""
    return name.startswith(".") or name.lower() in UNSEEN


def files_below(folder: Path, leave_out: Collection[Path] = (), deep: bool = True) -> Iterator[str]:
    """Paths of the files below a folder, relative to it, with forward slashes; hidden ones are left out.

    Args:
        folder: links to folders are followed, each folder once.
        leave_out: resolved folders that are not entered.
        deep: enter folders.
    """
    seen = {folder.resolve(), *leave_out}
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if deep and not is_unseen(name) and _new(Path(place, name), seen)]
        within = Path(place).relative_to(folder)
        yield from ((within / name).as_posix() for name in files if not is_unseen(name))


def _new(folder: Path, seen: set[Path]) -> bool:
    place = folder.resolve()
    if place in seen:
        return False
    seen.add(place)
    return True


def inside(folder: str) -> str:
    """What the paths below a folder begin with: "train/" for "train", "train/" and "./train", "" for "."."""
    plain = nfc(PurePosixPath(folder).as_posix())
    return "" if plain == "." else f"{plain}/"


class FolderImages:
    """Images of a folder and of its subfolders.

    Attributes:
        folder: relative to the root; "." for the root itself, whose subfolders are not entered unless they are named.
        folders: how many images there are in each folder (relative to ``folder``, "." for itself), also in those that
            were not asked for.
        files: id to the paths (relative to ``folder``) that it may mean, in the order of the paths; one if all is well.
        index: finds the file that a table's cell means.

    Raises:
        DataError: no such folder.
    """

    def __init__(self, root: Path, folder: str, others: Collection[str] = (), within: Collection[str] = ()) -> None:
        self.root, self.folder = root, folder
        self.place = root / folder
        if not self.place.is_dir():
            raise DataError(f"{self.place}: expected a folder, found none. Set `images` and `masks` to their names.")
        self._flat = self.place.resolve() == root.resolve()
        deep = bool(within) or not self._flat
        files = list(files_below(self.place, {(root / name).resolve() for name in others}, deep=deep))
        self.folders = Counter(path.rpartition("/")[0] or "." for path in files if path.lower().endswith(SUFFIXES))
        beginnings = tuple(map(inside, within))
        files = [path for path in files if not within or nfc(path).startswith(beginnings)]
        images = sorted((path for path in files if path.lower().endswith(SUFFIXES)), key=lambda path: path.split("/"))
        self._passed = sorted(path for path in files if not path.lower().endswith(SUFFIXES))
        self._unreadable = [path for path in images if shown(path) != path]
        self.files: dict[str, list[str]] = {}
        for path in images:
            if shown(path) == path:
                self.files.setdefault(path_id(path), []).append(path)
        self.index = NameIndex((path for paths in self.files.values() for path in paths), folder)
        self.ids = {path: id for id, paths in self.files.items() for path in paths}

    def relative(self, path: str) -> str:
        """A path of the folder as a path under the root."""
        return f"{self.folder}/{path}"

    def require(self, within: Mapping[str, str]) -> None:
        """Refuse folders without an image (DataError): split -> folder below ``folder``."""
        empty = [
            f"'{name}' (for {split})"
            for split, name in within.items()
            if not any(f"{nfc(there)}/".startswith(inside(name)) for there in self.folders)
        ]
        if empty:
            there = [f"{shown(name)} ({count})" for name, count in sorted(self.folders.items())]
            raise DataError(
                f"{self.place}: expected images in each folder of `split_folders`, found none in {first_of(empty)}. "
                f"Remedy: name folders with images; these have some: {first_of(there, 8) or 'none'}."
            )

    def problems(self) -> list[Problem]:
        """Images that share an id, and names that are no UTF-8: which image a table means cannot be known."""
        doubles = [(id, paths) for id, paths in self.files.items() if len(paths) > 1]
        return [
            *(Problem(id, str(self.place), f"one image with the name '{id}'", ", ".join(p)) for id, p in doubles),
            *(
                Problem(shown(p), f"{self.place}/{shown(p)}", "a name in UTF-8", "other bytes")
                for p in self._unreadable
            ),
        ]

    def notices(self) -> Iterator[Notice]:
        """Files that are no images that can be read."""
        counts = Counter(_suffix(path) for path in self._passed)
        if self._flat:
            counts = Counter({suffix: count for suffix, count in counts.items() if suffix not in BESIDE})
        if counts:
            total = sum(counts.values())
            kinds = first_of([f"{count} {suffix}" for suffix, count in sorted(counts.items())], 8)
            first = next(path for path in self._passed if _suffix(path) in counts)
            raw = f" Camera raw: {AS_JPEG}." if counts.keys() & set(RAW_SUFFIXES) else ""
            text = (
                f"{total} file{'s' * (total > 1)} in {self.place} {'are' if total > 1 else 'is'} passed over, which "
                f"{'are' if total > 1 else 'is'} no image that is read ({', '.join(SUFFIXES)}): {kinds}; the first is "
                f"{shown(first)}.{raw}"
            )
            yield Notice("files_passed_over", total, text)

    def why_not(self, cell: str) -> str:
        """What lies there under the name of a table's cell and is no image, for a message; "" for nothing."""
        name = cell.replace("\\", "/").rpartition("/")[2]
        there = next((path for path in self._passed if path.rpartition("/")[2] == name), "")
        return f"'{cell}', a file of another kind. {AS_JPEG}" if there else ""


def _suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    return f".{name.rpartition('.')[2].lower()}" if "." in name else "without suffix"
