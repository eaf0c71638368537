"""Arrays on disk: the only file that imports zarr.

A store is a Zarr v3 group. Its shard ``k`` holds some neighbouring images: an array ``part_0000k``, and perhaps more of
other names, each with one Zarr chunk a plane and one shard file in all. So any process can write any shard alone: two
processes that write into one shard lose data silently (zarr-python issue 3682).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from pipeline.storage.sums import AGAIN, Sums, check, write_sums
from pipeline.storage.whole import remove

Array = npt.NDArray[Any]
Attributes = dict[str, Any]

METADATA = "zarr.json"
WRITING = "writing_"
EMPTY = "empty"
"""Attribute of an array that holds nothing but its fill value: Zarr writes no shard for it."""


@dataclass(frozen=True, eq=False)
class Shard:
    """The arrays of one shard, opened or in memory, and the shard's attributes; ``folder`` is that of the store."""

    arrays: Mapping[str, Any]
    attributes: Attributes
    folder: Path

    def loaded(self) -> Shard:
        """Everything decoded at once: 0.6 ms a float16 plane of 375x500, against 1.8 ms for each plane alone."""
        with _readable(self.folder):
            return Shard({name: array[:] for name, array in self.arrays.items()}, self.attributes, self.folder)

    def planes(self, name: str, rows: slice, grid: Sequence[int]) -> Array:
        """Rows of one array without their padding, copied: [K,h,w]."""
        # Cropped after reading: asking Zarr for a piece of a chunk takes longer than for the whole chunk.
        with _readable(self.folder):
            return np.array(self.arrays[name][rows][:, : grid[0], : grid[1]])


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """DataError for whatever Zarr and its codecs say about damaged files."""
    try:
        yield
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{folder} is damaged ({reason}). {AGAIN}") from error


def array_name(name: str, k: int) -> str:
    return f"{name}_{k:05d}"


def array_exists(folder: Path, name: str, k: int) -> bool:
    return (folder / array_name(name, k) / METADATA).is_file()


def read_group(folder: Path, sums: Sums | None = None) -> Attributes | None:
    """The attributes of a store, or None where no Zarr group is. Raises DataError where ``sums`` say otherwise."""
    import zarr

    if sums is not None and (folder / METADATA).is_file():
        check(folder / METADATA, (folder / METADATA).read_bytes(), METADATA, sums)

    try:
        return dict(zarr.open_group(folder, mode="r", zarr_format=3).attrs)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def write_metadata_sums(folder: Path, arrays: Iterable[str]) -> None:
    """Write checksums of what describes a whole store and its ``arrays``; their chunks have some of their own."""
    described = (f"{array}/{METADATA}" for array in arrays if (folder / array / METADATA).is_file())
    write_sums(folder, [METADATA, *described])


def write_group(folder: Path, attributes: Attributes) -> None:
    """Write the attributes of a store; its arrays stay."""
    import zarr

    folder.mkdir(parents=True, exist_ok=True)
    zarr.open_group(folder, mode="a", zarr_format=3).attrs.put(attributes)


def read_shard(folder: Path, names: Iterable[str], k: int, sums: Sums | None = None) -> Shard:
    """Open those arrays of shard ``k`` that exist; nothing is decoded yet.

    Raises:
        DataError: an array is damaged, or its shard is gone, which Zarr would read as the fill value.
    """
    import zarr

    there = [name for name in names if array_exists(folder, name, k)]
    with _readable(folder):
        for name in there if sums is not None else ():
            described = folder / array_name(name, k) / METADATA
            check(described, described.read_bytes(), f"{array_name(name, k)}/{METADATA}", sums)
        arrays = {name: zarr.open_array(folder / array_name(name, k), mode="r") for name in there}
        for name, array in arrays.items():
            if not _has_shard_file(folder / array_name(name, k)) and EMPTY not in array.attrs:
                raise FileNotFoundError(f"the shard of {array_name(name, k)} is missing")
        return Shard(arrays, dict(arrays["part"].attrs), folder)


def _has_shard_file(array: Path) -> bool:
    return (array / "c" / "0" / "0" / "0").is_file()


def write_array(folder: Path, name: str, k: int, planes: Sequence[Array], fill: int, attributes: Attributes) -> None:
    """Write one array of shard ``k``: it appears when it is whole.

    Two processes may do it at once, when one of them was thought lost: the first one's stays, the other's is equal.

    Args:
        planes: one [K,h,w] block for each image, of one dtype; K may be 0 and h, w may differ.
        fill: value of the padding, and of chunks that are not stored.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    data = _stack(planes, fill)
    target, writing = folder / array_name(name, k), folder / f"{WRITING}{array_name(name, k)}_{uuid4().hex}"
    writing.mkdir()  # fails where the store has been finished, and its scratch folder gone, in the meantime
    array = zarr.create_array(
        writing,
        shape=data.shape,
        dtype=data.dtype,
        chunks=(1, *data.shape[1:]),
        shards=data.shape,
        fill_value=fill,
        compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()],
        attributes=attributes,
        zarr_format=3,
    )
    array[:] = data
    if not _has_shard_file(writing):
        array.attrs[EMPTY] = True
    try:
        writing.rename(target)
    except OSError:
        if not array_exists(folder, name, k):
            raise
        remove(writing)


def _stack(planes: Sequence[Array], fill: int) -> Array:
    """Pad the blocks to the largest grid and pile them up: [rows,H,W], at least one plane of one pixel."""
    rows = max(1, sum(len(block) for block in planes))
    height, width = (max(1, *(block.shape[axis] for block in planes)) for axis in (1, 2))
    stacked = np.full((rows, height, width), fill, planes[0].dtype)
    row = 0
    for block in planes:
        stacked[row : row + len(block), : block.shape[1], : block.shape[2]] = block
        row += len(block)
    return stacked
