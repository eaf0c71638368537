"""Reading a store: checked when it is opened, then by image id or in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from models.errors import DataError
from pipeline.problems.notices import first_of
from pipeline.storage import shards
from pipeline.storage.header import VERSION, Header
from pipeline.storage.index import Index, keep, kept_at
from pipeline.storage.once import open_once
from pipeline.storage.shards import Attributes, Shard
from pipeline.storage.sums import Sums, read_sums

Item = TypeVar("Item")
REMEDY = "Remedy: run the stage that writes it again (`dvc repro`)."
OPEN_SHARDS = 64
"""Shards that stay open: a store of a million images has 20,000."""


class Store(Generic[Item]):
    """A finished store: look items up by image id, or iterate over (id, item) in order. Can be pickled.

    Raises:
        DataError: on opening, when the path is missing, incomplete, or of another kind or version.
    """

    schema: ClassVar[str]
    arrays: ClassVar[tuple[str, ...]] = ("part",)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = _index(path, self.schema)
        self.attributes = self.index.rest
        self.shard_size: int = self.attributes["part_size"]
        self._shards: dict[int, Shard] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The store at ``path``, opened once a process: of a million images that takes seconds. Raises as the class."""
        return open_once(cls, path, shards.METADATA)

    @cached_property
    def _sums(self) -> Sums | None:
        return read_sums(self.path)

    @cached_property
    def header(self) -> Header:
        return self.index.header()

    @property
    def ids(self) -> tuple[str, ...]:
        return self.index.ids

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.attributes["class_names"])

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: object) -> bool:
        return self.index.position(name) is not None

    def __getitem__(self, name: str) -> Item:
        position = self.position(name)
        return self.decode(self._shard(position // self.shard_size), position)

    def __iter__(self) -> Iterator[tuple[str, Item]]:
        return self.items(self.ids)

    def items(self, ids: Iterable[str]) -> Iterator[tuple[str, Item]]:
        """(id, item) of ``ids``, in that order. Neighbours that share a shard are decoded together."""
        named = [(self.position(name), name) for name in ids]
        for k, group in groupby(named, lambda item: item[0] // self.shard_size):
            wanted = list(group)
            shard = self._shard(k)
            if 4 * len(wanted) > self.shard_size:
                shard = shard.loaded()
            for position, name in wanted:
                yield name, self.decode(shard, position)

    def position(self, name: str) -> int:
        """The number of an image in the store. Raises DataError where it is missing."""
        position = self.index.position(name)
        if position is None:
            self.require([name], "the caller")
        assert position is not None, "require() raises"
        return position

    def require(self, ids: Iterable[str], what: str, catalogue: str | None = None) -> None:
        """Make sure that the store has every image that ``what`` needs, of the same catalogue when one is given.

        Raises:
            DataError: images are missing, or the store was made from another catalogue.
        """
        missing = self.index.missing(ids)
        if missing:
            raise DataError(
                f"{self.path} holds {len(self)} images, but not {len(missing)} that {what} needs: "
                f"{first_of(missing, 5)}. Remedy: make the store from the split that is needed."
            )
        made_from = self.attributes["catalogue"]
        if catalogue not in (None, made_from):
            raise DataError(
                f"{self.path} was made from catalogue {made_from[:12]}, {what} uses {str(catalogue)[:12]}. "
                "Remedy: run `dvc repro`, so that both come from the same prepared data set."
            )

    def decode(self, shard: Shard, position: int) -> Item:
        """The item of image number ``position``."""
        raise NotImplementedError

    def _shard(self, k: int) -> Shard:
        if k not in self._shards:
            while len(self._shards) >= OPEN_SHARDS:
                del self._shards[next(iter(self._shards))]
            self._shards[k] = shards.read_shard(self.path, self.arrays, k, self._sums)
        return self._shards[k]


def _index(path: Path, schema: str) -> Index:
    """The images of a whole store; those of a large one from where they are kept, once it has been found whole."""
    try:
        place = kept_at(path)
    except OSError:
        return Index.of(_opened(path, schema))
    try:
        index = Index.load(place)
    except (OSError, ValueError, KeyError, EOFError):
        index = Index.of(_opened(path, schema))
        with suppress(OSError):  # kept for speed alone: a full or a read-only disk stops nobody from reading
            keep(index, place)
    _check_kind(path, index.rest, schema)
    return index


def _check_kind(path: Path, attributes: Attributes, schema: str) -> None:
    kind, version = attributes.get("schema"), attributes.get("version")
    if kind != schema:
        raise DataError(f"{path}: expected a store of kind '{schema}', found '{kind}'. Remedy: name another artefact.")
    if version != VERSION:
        raise DataError(f"{path}: expected version {VERSION} of kind '{schema}', found version {version}. {REMEDY}")


def _opened(path: Path, schema: str) -> Attributes:
    """Attributes of the store at ``path``, once it has proved to be whole, and of this schema and version."""
    attributes = shards.read_group(path, read_sums(path))
    if attributes is None:
        found = "something that is no Zarr group" if path.exists() else "nothing"
        raise DataError(f"{path}: expected a store of kind '{schema}', found {found}. {REMEDY}")
    _check_kind(path, attributes, schema)
    count = -(-len(attributes["ids"]) // attributes["part_size"])
    lost = [shards.array_name("part", k) for k in range(count) if not shards.array_exists(path, "part", k)]
    if lost or "fingerprint" in attributes:
        found = first_of(lost, 5) + " missing" if lost else "a writer that has not finished"
        raise DataError(f"{path}: expected a whole store of {count} parts, found {found}. {REMEDY}")
    return attributes
