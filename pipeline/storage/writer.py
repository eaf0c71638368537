"""Writing a store: shard by shard, from any number of processes, complete or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from models.errors import DataError
from pipeline.problems.notices import first_of
from pipeline.storage import shards
from pipeline.storage.header import VERSION, Header
from pipeline.storage.shards import Array, Attributes
from pipeline.storage.sums import FILE as SUMS
from pipeline.storage.whole import remove, swap_in

SHARD_SIZE = 64
SCRATCH = ".partial"

Item = TypeVar("Item")


class Writer(Generic[Item]):
    """Writes a store shard by shard, then moves it into place. Can be pickled, to write shards in several processes.

    The bytes on disk depend on the content only, never on the number of processes, their order, or an interruption.
    """

    schema: ClassVar[str]
    arrays: ClassVar[dict[str, int]] = {"part": 0}
    """Array name to fill value, in the order of writing; ``part`` comes last, for it marks the shard as done."""

    def __init__(self, path: Path, header: Header, shard_size: int = SHARD_SIZE, **extra: Any) -> None:
        self.path = path
        self.header = header
        self.shard_size = shard_size
        self.attributes: Attributes = {"schema": self.schema, "version": VERSION, "part_size": shard_size}
        self.attributes |= header.attributes() | extra

    @property
    def scratch(self) -> Path:
        """Where the store grows until it is whole."""
        return self.path.with_name(self.path.name + SCRATCH)

    @property
    def count(self) -> int:
        """The number of shards."""
        return -(-len(self.header.ids) // self.shard_size)

    def shard_ids(self, k: int) -> tuple[str, ...]:
        """The ids of shard ``k``."""
        return self.header.ids[k * self.shard_size : (k + 1) * self.shard_size]

    def begin(self, fingerprint: str | None) -> None:
        """Open the scratch folder, once, before any process writes.

        Finished shards of an interrupted run stay when it had the same header and the same ``fingerprint``, which
        stands for the parameters, inputs and code that make the content. None never resumes.
        """
        started = self.attributes | {"fingerprint": fingerprint}
        if fingerprint is None or shards.read_group(self.scratch) != started:
            remove(self.scratch)
            shards.write_group(self.scratch, started)

    def done(self, k: int) -> bool:
        """Whether shard ``k`` has been written."""
        return shards.array_exists(self.scratch, "part", k)

    def write(self, k: int, items: Sequence[Item]) -> None:
        """Write shard ``k``: one item for each of ``shard_ids(k)``, in order.

        Raises:
            DataError: an item does not fit its image, or there are too many or too few.
        """
        expected = len(self.shard_ids(k))
        if len(items) != expected:
            raise DataError(f"{self.path}: part {k} holds {expected} images, found {len(items)} results for it.")
        planes, attributes = self.encode(k * self.shard_size, items)
        for name, fill in self.arrays.items():
            if name == "part" or any(len(block) for block in planes[name]):
                shards.write_array(self.scratch, name, k, planes[name], fill, attributes if name == "part" else {})

    def finish(self, add: Callable[[Path], None] | None = None) -> Path:
        """Move the whole store into place and return its path.

        Args:
            add: called with the whole store's folder before it is moved, to write more into it.

        Raises:
            DataError: a shard has not been written.
        """
        count = self.count
        missing = [str(k) for k in range(count) if not self.done(k)]
        if missing:
            raise DataError(
                f"{self.path}: expected {count} parts, not yet written: {first_of(missing, 5)}. "
                "Remedy: run the stage again."
            )
        of_shards = (shards.read_shard(self.scratch, ["part"], k).attributes for k in range(count))
        shards.write_group(self.scratch, self.attributes | self.merge(of_shards))
        names = [shards.array_name(name, k) for name in self.arrays for k in range(count)]
        shards.write_metadata_sums(self.scratch, names)
        self._sweep(names)
        if add is not None:
            add(self.scratch)
        swap_in(self.scratch, self.path)
        return self.path

    def _sweep(self, arrays: Sequence[str]) -> None:
        """Delete what writers that were killed left behind."""
        keep = {*arrays, shards.METADATA, SUMS}
        for entry in self.scratch.iterdir():
            if entry.name not in keep:
                remove(entry)

    def encode(self, first: int, items: Sequence[Item]) -> tuple[dict[str, list[Array]], Attributes]:
        """Check the items, image number ``first`` onwards; their planes [K,h,w] by array name, and attributes."""
        raise NotImplementedError

    def merge(self, of_shards: Iterable[Attributes]) -> Attributes:
        """What the attributes of the store take over from those of its shards, which are read when asked for."""
        return {}

    def fail(self, position: int, expected: str, found: object) -> DataError:
        """The error for an item that does not fit image number ``position``."""
        return DataError(f"{self.path}: image '{self.header.ids[position]}': expected {expected}, found {found}.")
