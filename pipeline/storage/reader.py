"""Reading a store: checked when it is opened, then by image id or in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from models.errors import DataError
from pipeline.problems.notices import first_of
from pipeline.storage import shards
from pipeline.storage.header import VERSION, Header
from pipeline.storage.once import open_once
from pipeline.storage.shards import Attributes, Part

Item = TypeVar("Item")
OPEN_PARTS = 64
"""Parts that stay open: a store of a million images has 20,000."""


class Store(Generic[Item]):
    """A finished store: look items up by image id, or iterate over (id, item) in order. Can be pickled.

    Raises:
        DataError: on opening, when the path is missing, incomplete, or of another kind or version.
    """

    schema: ClassVar[str]
    arrays: ClassVar[tuple[str, ...]] = ("part",)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attributes = _opened(path, self.schema)
        self.header = Header.read(self.attributes)
        self.part_size: int = self.attributes["part_size"]
        self._position = {name: position for position, name in enumerate(self.header.ids)}
        self._parts: dict[int, Part] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_parts": {}}

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The store at ``path``, opened once a process: of a million images that takes seconds. Raises as the class."""
        return open_once(cls, path, shards.METADATA)

    @property
    def ids(self) -> tuple[str, ...]:
        return self.header.ids

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.header.class_names

    def __len__(self) -> int:
        return len(self.header.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._position

    def __getitem__(self, name: str) -> Item:
        position = self.position(name)
        return self.decode(self._part(position // self.part_size), position)

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        return self.items(self.ids)

    def items(self, ids: Iterable[str]) -> Iterator[tuple[str, Item]]:
        """(id, item) of ``ids``, in that order. Neighbours that share a part are decoded together."""
        positions = [self.position(name) for name in ids]
        for k, group in groupby(positions, lambda position: position // self.part_size):
            wanted = list(group)
            part = self._part(k)
            if 4 * len(wanted) > self.part_size:
                part = part.loaded()
            for position in wanted:
                yield self.ids[position], self.decode(part, position)

    def position(self, name: str) -> int:
        """The number of an image in the store. Raises DataError where it is missing."""
        if name not in self._position:
            self.require([name], "the caller")
        return self._position[name]

    def require(self, ids: Iterable[str], what: str, catalogue: str | None = None) -> None:
        """Make sure that the store has every image that ``what`` needs, of the same catalogue when one is given.

        Raises:
            DataError: images are missing, or the store was made from another catalogue.
        """
        missing = [name for name in ids if name not in self._position]
        if missing:
            raise DataError(
                f"{self.path} holds {len(self)} images, but not {len(missing)} that {what} needs: "
                f"{first_of(missing, 5)}. Remedy: make the store from the split that is needed."
            )
        if catalogue not in (None, self.header.catalogue):
            raise DataError(
                f"{self.path} was made from catalogue {self.header.catalogue[:12]}, {what} uses {str(catalogue)[:12]}. "
                "Remedy: run `dvc repro`, so that both come from the same prepared data set."
            )

    def decode(self, part: Part, position: int) -> Item:
        """The item of image number ``position``."""
        raise NotImplementedError

    def _part(self, k: int) -> Part:
        if k not in self._parts:
            while len(self._parts) >= OPEN_PARTS:
                del self._parts[next(iter(self._parts))]
            self._parts[k] = shards.read_part(self.path, self.arrays, k)
        return self._parts[k]


def _opened(path: Path, schema: str) -> Attributes:
    """Attributes of the store at ``path``, once it has proved to be whole, and of this schema and version."""
    remedy = "Remedy: run the stage that writes it again (`dvc repro`)."
    attributes = shards.read_group(path)
    if attributes is None:
        found = "something that is no Zarr group" if path.exists() else "nothing"
        raise DataError(f"{path}: expected a store of kind '{schema}', found {found}. {remedy}")
    kind, version = attributes.get("schema"), attributes.get("version")
    if kind != schema:
        raise DataError(f"{path}: expected a store of kind '{schema}', found '{kind}'. Remedy: name another artefact.")
    if version != VERSION:
        raise DataError(f"{path}: expected version {VERSION} of kind '{schema}', found version {version}. {remedy}")
    count = -(-len(attributes["ids"]) // attributes["part_size"])
    lost = [shards.array_name("part", k) for k in range(count) if not shards.exists(path, "part", k)]
    if lost or "fingerprint" in attributes:
        found = first_of(lost, 5) + " missing" if lost else "a writer that has not finished"
        raise DataError(f"{path}: expected a whole store of {count} parts, found {found}. {remedy}")
    return attributes
