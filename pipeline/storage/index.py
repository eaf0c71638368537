"""Which images a store holds, as arrays: of a large store they lie in files of their own, which open at once.

A store says its ids, sizes and lists of classes in one JSON, which keeps its bytes few and equal; of a million images
that is 90 MB, which takes ten seconds to read. So the arrays of a large store are kept in ``.scratch/index``, outside
of every output, and a process maps them into memory: what it needs of a chunk does not depend on the size of the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.storage.header import Header
from pipeline.storage.shards import METADATA, Attributes

PLACE = Path(".scratch") / "index"
LARGE = 20_000
"""Smaller stores open in less time than it takes to look for their arrays."""
LISTS = ("keys", "tags")
"""Attributes with a list of classes for each image."""
REST = "rest.json"
PARTIAL = ".partial"
"""Ends the name of a folder whose arrays are not all there."""


@dataclass(frozen=True, eq=False)
class Index:
    """The images of a store by name and by position.

    Attributes:
        rest: all other attributes of the store.
        names: the ids as UTF-8, sorted; ``order`` int32 [N] has the position of each.
        sizes: int32 [N,2], (H, W) in pixels.
        lists: attribute -> (values int32, offsets int64 [N+1]).
    """

    rest: Attributes
    names: npt.NDArray[np.bytes_]
    order: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int32]
    lists: dict[str, tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]]

    @classmethod
    def of(cls, attributes: Attributes) -> Self:
        """From the attributes of a store, whole. Raises DataError where they are no header."""
        header = Header.read(attributes)
        names = np.array([name.encode() for name in header.ids])
        order = np.argsort(names, kind="stable").astype(np.int32)
        lists = {name: _ragged(attributes[name]) for name in LISTS if name in attributes}
        rest = {key: value for key, value in attributes.items() if key not in ("ids", "sizes", *LISTS)}
        return cls(rest, names[order], order, np.array(header.sizes, np.int32), lists)

    def __len__(self) -> int:
        return len(self.order)

    def position(self, name: object) -> int | None:
        """The number of an image, or None where it is not there."""
        word = name.encode() if isinstance(name, str) else b""
        if not word or len(word) > self.names.dtype.itemsize:
            return None
        place = int(np.searchsorted(self.names, np.array(word, self.names.dtype)))
        return int(self.order[place]) if place < len(self) and self.names[place] == word else None

    def missing(self, names: Iterable[str]) -> list[str]:
        """The names that are not there."""
        wanted = list(names)
        known = set(self.ids) if len(wanted) > LARGE // 100 else None
        return [n for n in wanted if (n not in known if known is not None else self.position(n) is None)]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """All ids, in the order of the store."""
        ordered = np.empty_like(self.names)
        ordered[self.order] = self.names
        return tuple(word.decode() for word in ordered.tolist())

    def size(self, position: int) -> tuple[int, int]:
        """(H, W) in pixels of an image."""
        height, width = self.sizes[position].tolist()
        return height, width

    def classes(self, name: str, position: int) -> tuple[int, ...]:
        """An image's list of classes."""
        values, offsets = self.lists[name]
        return tuple(values[offsets[position] : offsets[position + 1]].tolist())

    def before(self, name: str, start: int, position: int) -> int:
        """How many classes the images from ``start`` up to ``position`` have."""
        offsets = self.lists[name][1]
        return int(offsets[position] - offsets[start])

    def header(self) -> Header:
        """All of it."""
        sizes = tuple((height, width) for height, width in self.sizes.tolist())
        return Header(self.ids, sizes, tuple(self.rest["class_names"]), self.rest["catalogue"])

    def save(self, folder: Path) -> None:
        """Write the arrays into ``folder``, whole or not at all; another process may do the same.

        Raises:
            OSError: they cannot be written.
        """
        writing = folder.with_name(f"{folder.name}.{os.getpid()}{PARTIAL}")
        writing.mkdir(parents=True, exist_ok=True)
        try:
            for name, array in self._arrays().items():
                np.save(writing / f"{name}.npy", array)
            (writing / REST).write_text(json.dumps(self.rest), encoding="utf-8")
            with suppress(OSError):  # another process was first
                writing.rename(folder)
        finally:
            shutil.rmtree(writing, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map the arrays that :meth:`save` wrote. Raises OSError or ValueError where they are not whole."""
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
        lists = {n: (arrays[f"{n}_values"], arrays[f"{n}_offsets"]) for n in LISTS if f"{n}_values" in arrays}
        rest = json.loads((folder / REST).read_text(encoding="utf-8"))
        return cls(rest, arrays["names"], arrays["order"], arrays["sizes"], lists)

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        plain = {"names": self.names, "order": self.order, "sizes": self.sizes}
        for name, (values, offsets) in self.lists.items():
            plain |= {f"{name}_values": values, f"{name}_offsets": offsets}
        return plain


def kept_at(path: Path) -> Path:
    """Where the arrays of the store that lies at ``path`` now are kept: any change of the store gives another place.

    Raises:
        OSError: there is no store.
    """
    head, folder = (path / METADATA).stat(), path.stat()
    state = (head.st_mtime_ns, head.st_size, folder.st_mtime_ns)
    return PLACE / _short(str(path.absolute())) / _short(repr(state))


def keep(index: Index, place: Path) -> None:
    """Keep the arrays of a large store, in the place of those of an earlier store at its path.

    Raises:
        OSError: they cannot be written: no space, or a folder that is read alone.
    """
    if len(index) < LARGE:
        return
    shutil.rmtree(place, ignore_errors=True)  # arrays that could not be read
    index.save(place)
    for other in place.parent.iterdir():
        if other != place and not other.name.endswith(PARTIAL):  # into that one another process is saving
            shutil.rmtree(other, ignore_errors=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ragged(lists: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(each) for each in lists], out=offsets[1:])
    return np.array([value for each in lists for value in each], np.int32), offsets
