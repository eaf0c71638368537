"""Masks and pseudo-masks that a book has made, read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from models.errors import ConfigurationError, DataError, closest
from models.structures import Mask
from pipeline.book.artifacts import artifact
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue


@dataclass(frozen=True)
class StoredMasks:
    """The masks of ``masks/NAME`` or ``supervision/NAME`` of a book.

    Attributes:
        book: that made them.
        name: as above.
        entry: of the stage that made them.
    """

    book: Book
    name: str
    entry: Any

    @classmethod
    def of(cls, book: Book, name: str) -> Self:
        """Find them. Raises ConfigurationError where the book makes no artefact of that name."""
        kind, _, short = name.partition("/")
        known = [f"{kind}/{name}" for kind in ("masks", "supervision") for name in book.names(kind)]
        made = book.producer(kind, short) if name in known else None
        if made is None:
            raise ConfigurationError(f"{book.book.params} makes no '{name}'.{closest(name, known)}")
        return cls(book, name, made[1])

    @cached_property
    def store(self) -> Any:
        """Raises DataError where the stage has not run."""
        from pipeline.storage.stores import MaskStore, SupervisionStore

        kind, _, short = self.name.partition("/")
        path = artifact(self.book.book.work, kind, short)
        return MaskStore(path) if kind == "masks" else SupervisionStore(path)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Of the images."""
        return Catalogue.load(artifact(self.book.book.work, "catalogues", self.entry.data))

    @property
    def split(self) -> str:
        """The split that they are of; "train" for a part of one."""
        return next((split for split, ids in self.catalogue.splits.items() if ids == self.store.ids), "train")

    def masks(self, ids: Iterable[str] | None = None) -> Iterator[tuple[str, Mask]]:
        """(id, uint8 [H,W]: 0..C, of pseudo-masks also 254 and 255), of all images or of some."""
        items = iter(self.store) if ids is None else self.store.items(ids)
        yield from items if self.name.startswith("masks/") else ((id, item.seeds) for id, item in items)


def require_empty(folder: Path) -> None:
    """Raises DataError where a folder to write to is a file, or holds files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "is not empty" if folder.is_dir() else "is a file"
        raise DataError(f"{folder} {found}. Name a new folder: nothing is overwritten.")
