"""What the binders share: where inputs lie, what identifies a stage's work, how shards are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from models.errors import ConfigurationError, DataError
from models.structures import MAX_CLASSES
from pipeline.book.artifacts import artifact, code_fingerprint
from pipeline.book.params import Book
from pipeline.compute.chunks import run_chunks
from pipeline.datasets.catalogue import FILE, Catalogue
from pipeline.storage.once import open_once
from pipeline.storage.stores import Header
from pipeline.tracking.log import Log, dvc_md5

__all__ = [
    "Log", "ShardTask", "ShardWriter", "Workspace", "header", "id_chunks", "require_mask_classes", "span", "split_of",
    "write_shards",
]  # fmt: skip


class ShardWriter(Protocol):
    """A store being written shard by shard."""

    header: Header

    @property
    def count(self) -> int: ...

    def shard_ids(self, k: int) -> tuple[str, ...]: ...

    def done(self, k: int) -> bool: ...

    def write(self, k: int, items: Any) -> None: ...

    def finish(self, add: Callable[[Path], None] | None = None) -> Path: ...


@dataclass(frozen=True)
class Workspace:
    """One entry of a book and the artefacts it names."""

    book: Book
    verb: str
    name: str

    @property
    def entry(self) -> Any:
        """The validated entry of params.yaml."""
        return self.book.entry(self.verb, self.name)

    def path(self, kind: str, name: str) -> Path:
        """Where an artefact of the book lies."""
        return artifact(self.book.book.work, kind, name)

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue that the entry names under ``data:``."""
        return open_once(Catalogue.load, self.path("catalogues", self.entry.data), FILE)

    def network(self) -> Any:
        """The network of the entry's checkpoint, on the device of this process: loaded once, for all its chunks."""
        from pipeline.compute.runtime import device
        from pipeline.storage.checkpoints import WEIGHTS

        load = _loader(self.catalogue.class_names, device())
        return open_once(load, self.path("checkpoints", self.entry.checkpoint), WEIGHTS)

    def fingerprint(self, *inputs: Path) -> str:
        """Identity of this stage's work: its parameters, its inputs' content, its code.

        Unfinished work is picked up again only under an equal fingerprint.

        Raises:
            DataError: an input has not been made.
        """
        for path in inputs:
            if not path.exists():
                raise DataError(
                    f"{self.verb}.{self.name} needs {path}, found nothing there. "
                    "Remedy: run the stage that makes it (`dvc repro`)."
                )
        code = code_fingerprint(self.book.book.work, self.verb, self.name)
        known = {
            "entry": self.entry.model_dump(mode="json"),
            "inputs": [dvc_md5(path) for path in inputs],
            "code": code.read_text() if code.exists() else None,
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=1)
def _loader(class_names: tuple[str, ...], device: str) -> Callable[[Path], Any]:
    from pipeline.storage.checkpoints import load_method

    return lambda folder: load_method(folder, class_names).to(device)


def header(catalogue: Catalogue, ids: Iterable[str]) -> Header:
    """The header of a store over some images of a catalogue."""
    chosen = tuple(ids)
    return Header(chosen, tuple(catalogue.size(id) for id in chosen), catalogue.class_names, catalogue.digest)


@dataclass(frozen=True)
class ShardTask:
    """Makes one shard of a store, unless it is there; picklable, so that any process can."""

    writer: ShardWriter
    make: Callable[[tuple[str, ...]], Iterable[Any]]

    def __call__(self, k: int) -> None:
        if not self.writer.done(k):  # by a worker that was lost before it could say so
            self.writer.write(k, list(self.make(self.writer.shard_ids(k))))


def write_shards(
    writer: ShardWriter,
    make: Callable[[tuple[str, ...]], Iterable[Any]],
    desc: str,
    on_device: bool = False,
    add: Callable[[Path], None] | None = None,
    workers: int | None = None,
) -> None:
    """Make the shards that are not there yet, by the engine that the environment chose, and move the store into place.

    Args:
        writer: the store being written.
        make: picklable; from the ids of a shard to one item for each, in order.
        desc: for the progress bar.
        on_device: ``make`` computes on :func:`pipeline.compute.runtime.device`, which it asks for where it runs.
        add: called with the whole store's folder before it is moved, to write warnings beside it.
        workers: processes of a pool on this machine; default :func:`pipeline.compute.runtime.workers`.
    """
    missing = [k for k in range(writer.count) if not writer.done(k)]
    run_chunks(
        ShardTask(writer, make),
        missing,
        desc,
        on_device=on_device,
        workers=workers,
        describe=lambda k: _described(writer, k),
        images=lambda k: len(writer.shard_ids(k)),
    )
    writer.finish(add)


def id_chunks(ids: Sequence[str], size: int = 64) -> tuple[tuple[str, ...], ...]:
    """Ids in chunks of ``size``, the last one shorter."""
    return tuple(tuple(ids[start : start + size]) for start in range(0, len(ids), size))


def split_of(splits: Mapping[str, tuple[str, ...]], ids: tuple[str, ...]) -> str:
    """Name of the split that the ids are, with their number where they are a part of it; DataError for others."""
    for name, members in splits.items():
        if members == ids:
            return name
    for name, members in splits.items():
        if ids and set(ids) <= set(members):
            return f"{name} ({len(ids)} of {len(members)})"
    raise DataError(f"The {len(ids)} images to evaluate are no split of the catalogue ({', '.join(splits)}).")


def require_mask_classes(catalogue: Catalogue, where: str) -> None:
    """Raises ConfigurationError when a mask cannot hold the classes of the catalogue."""
    if catalogue.num_classes > MAX_CLASSES:
        raise ConfigurationError(
            f"{where} makes masks, which hold at most {MAX_CLASSES} classes; data '{catalogue.name}' has "
            f"{catalogue.num_classes}. Its tags and CAMs can be used: train, export_cams, evaluate_boxes."
        )


def _described(writer: ShardWriter, k: int) -> str:
    """The images of a chunk, and which of them wants most memory."""
    ids, sizes = writer.shard_ids(k), dict(zip(writer.header.ids, writer.header.sizes, strict=True))
    largest = max(ids, key=lambda id: sizes[id][0] * sizes[id][1])
    return f"{span(ids)}, the largest '{largest}' of {sizes[largest][1]} x {sizes[largest][0]} pixels"


def span(ids: Sequence[str]) -> str:
    """The images of a chunk, as a message names them."""
    return f"images {ids[0]} to {ids[-1]}"
