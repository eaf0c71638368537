"""Names of image files as people write them: compared in one Unicode form, found under almost the same name."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from pipeline.datasets.image_formats import SUFFIXES

COMPARED = 2000
"""So many names are compared for the nearest one."""
Key = TypeVar("Key")
_Paths: TypeAlias = str | set[str]
"""One path as it is, since a set of it alone has 216 bytes; several as a set."""


def nfc(text: str) -> str:
    """The composed Unicode form: a Mac's file names are decomposed, tables mostly are not."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def without_suffix(name: str) -> str:
    """A name without the suffix of an image file, if it has one."""
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name


def path_id(relative: str) -> str:
    """The id of an image file: its path below the folder of images without suffix, ``cam1/s0.png`` -> ``cam1_s0``."""
    return nfc(without_suffix(relative).replace("/", "_"))


def numbered(name: str, taken: Collection[str]) -> str:
    """The name, or the first of NAME_2, NAME_3, ... that is not taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def shown(name: str) -> str:
    """A file name for a message, also where it is no UTF-8."""
    return name.encode("utf-8", "replace").decode()


def nearest_name(name: str, known: Collection[str]) -> str:
    """The known name that is most like ``name``; "" where none is."""
    plain = re.sub(r"\W|_", "", name).casefold()
    candidates = list(known)[:COMPARED]
    for other in candidates:
        if re.sub(r"\W|_", "", other).casefold() == plain:
            return other
    within = [other for other in candidates if other and other in name]
    if within:
        return max(within, key=len)
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)), "")


@dataclass(frozen=True, slots=True)
class NameMatch:
    """A file that a cell of a table names; ``exactly`` as it is called, or under almost the same name."""

    path: str
    exactly: bool


class NameIndex:
    """Finds the file that a cell of a table means.

    Annotations of images that a catalogue has are looked up otherwise:
    :class:`pipeline.datasets.image_names.ImageNames`.

    Args:
        paths: of the files, relative to their folder, with forward slashes.
        folder: its name, which may stand before a path.
    """

    def __init__(self, paths: Iterable[str], folder: str = "") -> None:
        self._folder = nfc(folder.strip("./"))
        self._exact: dict[str, _Paths] = {}
        self._stems: dict[str, _Paths] = {}
        self._loose: dict[str, _Paths] = {}
        self._last: dict[str, _Paths] = {}
        self._numbers: dict[int, _Paths] = {}
        self._nested = False
        for path in paths:
            name = nfc(path)
            stem = without_suffix(name)
            last = stem.rpartition("/")[2]
            self._nested |= "/" in name
            _add(self._exact, name, path)
            _add(self._stems, stem, path)
            _add(self._stems, path_id(name), path)
            _add(self._loose, stem.casefold(), path)
            _add(self._last, last.casefold(), path)
            if last.isascii() and last.isdigit() and len(last) < 20:
                _add(self._numbers, int(last), path)

    def find(self, cell: str) -> NameMatch | None:
        """The one file that a cell names: by its path or id, with or without suffix, or nearly so.

        Nearly: with other folders before it, another suffix, other capitals, without its folders, or a number without
        its leading zeros. Where several files fit equally well, None.
        """
        name = nfc(cell.strip())
        for hits in self._exactly(name):
            if hits:
                return NameMatch(hits, True) if isinstance(hits, str) else None
        for hits in self._nearly(name.replace("\\", "/")):
            if hits:
                return NameMatch(hits, False) if isinstance(hits, str) else None
        return None

    def _exactly(self, name: str) -> Iterator[_Paths | None]:
        yield self._exact.get(name)
        yield self._stems.get(name)
        inside = name.removeprefix("./").removeprefix(f"{self._folder}/") if self._folder else name.removeprefix("./")
        if inside != name:
            yield self._exact.get(inside)
            yield self._stems.get(inside)

    def _nearly(self, name: str) -> Iterator[_Paths | None]:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        tails = ["/".join(parts[start:]) for start in range(len(parts))]
        if self._nested and len(parts) > 1:
            tails = tails[:-1]  # another folder's file of that name is another image
        yield from (self._exact.get(tail) for tail in tails)
        yield from (self._stems.get(without_suffix(tail)) for tail in tails)
        yield from (self._loose.get(without_suffix(tail).casefold()) for tail in tails)
        if len(parts) == 1:
            stem = without_suffix(parts[0])
            yield self._last.get(stem.casefold())
            number = re.fullmatch(r"(\d{1,18})(\.0)?", stem, re.ASCII)
            yield self._numbers.get(int(number[1])) if number else None


def _add(index: dict[Key, _Paths], key: Key, path: str) -> None:
    there = index.setdefault(key, path)
    if isinstance(there, set):
        there.add(path)
    elif there != path:
        index[key] = {there, path}
