"""Class names of annotation files: which are the catalogue's, and what to say about the others."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from unicodedata import normalize

from models.errors import closest
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.class_names import COCO_CLASSES, VOC_CLASSES
from pipeline.datasets.folder import BACKGROUND_ONLY
from pipeline.problems.notices import Notice, first_of

BENCHMARKS = (frozenset(VOC_CLASSES), frozenset(COCO_CLASSES))
MOST = 10
"""Unknown names that are listed one by one."""


class ClassNames:
    """Numbers of class names; unknown names are counted, with the first place of each."""

    def __init__(self, catalogue: Catalogue, background: bool = False) -> None:
        self.names = catalogue.class_names
        self._numbers = {normalize("NFC", name): number for number, name in enumerate(self.names, start=1)}
        self._all = catalogue.limit is None
        if background:
            self._numbers.setdefault(BACKGROUND_ONLY, 0)
        self.unknown: dict[str, tuple[int, str]] = {}
        self.known: set[int] = set()

    def number(self, name: str, where: str) -> int | None:
        """0 background, 1..C, or None for a name that the catalogue does not have."""
        number = self._numbers.get(normalize("NFC", name))
        if number is None:
            count, first = self.unknown.get(name, (0, where))
            self.unknown[name] = count + 1, first
        else:
            self.known.add(number)
        return number

    def refused(self) -> Iterator[str]:
        """A problem for each unknown name, for files whose names should all be known."""
        for name, (count, where) in list(self.unknown.items())[:MOST]:
            often = f" ({count} times)" if count > 1 else ""
            empty = "" if name else " An image without objects has the class 'background', if it is looked at."
            yield f"{where}: unknown class '{name[:60]}'{often}.{closest(name[:60], self._numbers)}{empty}"
        if len(self.unknown) > MOST:
            yield f"... and {len(self.unknown) - MOST} more unknown class names"

    def misspelt(self) -> Iterator[str]:
        """Problems of names that surely mean a class of the catalogue, for files that may have other classes too."""
        like = {_plain(name): name for name in self.names}
        missing = [name for name, number in self._numbers.items() if self._all and number and number not in self.known]
        sure = []
        for name, (count, where) in self.unknown.items():
            meant = like.get(_plain(name)) or self._renamed(name, missing)
            if meant is not None:
                sure.append(f"{where}: unknown class '{name[:60]}' ({_objects(count)}). Did you mean '{meant}'?")
        yield from sure[:MOST]
        none = self._all and self.unknown and not self.known - {0} and not self._subset_of_a_benchmark()
        if not sure and none:
            yield (
                f"no object has a class of the catalogue ({first_of(self.names, MOST)}): found {self._counted()}. "
                "Remedy: rename the classes in the files, or in the data set's labels."
            )
        elif sure:
            yield f"Remedy: write the catalogue's names in the files; it has {first_of(self.names, MOST)}."

    def notices(self) -> Iterator[Notice]:
        """Of names that the catalogue does not have; those of a benchmark that ``classes:`` leaves out are no news."""
        if self.unknown and not self._subset_of_a_benchmark():
            total = sum(count for count, _ in self.unknown.values())
            yield Notice(
                "unknown_classes",
                total,
                f"{_objects(total)} of {len(self.unknown)} classes that the catalogue does not have stay unlabelled: "
                f"{self._counted()}. It has {first_of(self.names, MOST)}. Remedy: rename them where that is a slip.",
            )

    def _renamed(self, name: str, missing: list[str]) -> str | None:
        """The class that a name is like, where no object of the files has that class."""
        near = difflib.get_close_matches(name.casefold(), [other.casefold() for other in missing], n=1, cutoff=0.7)
        return next((other for other in missing if near and other.casefold() == near[0]), None)

    def _subset_of_a_benchmark(self) -> bool:
        there = {*self.names, *self.unknown}
        return any(there <= benchmark for benchmark in BENCHMARKS)

    def _counted(self) -> str:
        often = sorted(self.unknown.items(), key=lambda item: (-item[1][0], item[0]))
        lines = []
        for name, (count, _) in often[:MOST]:
            near = difflib.get_close_matches(name, self.names, n=1, cutoff=0.6)
            lines.append(f"'{name[:60]}' ({count}{f', like {near[0]!r}' if near else ''})")
        return first_of([*lines, *(name for name, _ in often[MOST:])], MOST)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _objects(count: int) -> str:
    return f"{count} object{'s' * (count > 1)}"
