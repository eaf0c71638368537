"""Which images a store holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from models.errors import DataError
from pipeline.problems.notices import first_of

VERSION = 1
"""Of the layout on disk; a store of another version is refused."""


@dataclass(frozen=True)
class Header:
    """Which images a store holds.

    Attributes:
        ids: image ids, in the order of the store.
        sizes: (H, W) in pixels of each image.
        class_names: the C foreground classes; class ``c`` is ``class_names[c - 1]``.
        catalogue: digest of the catalogue that the ids come from.

    Raises:
        DataError: no images, an id twice, or not one size per id.
    """

    ids: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    class_names: tuple[str, ...]
    catalogue: str

    def __post_init__(self) -> None:
        if not self.ids:
            raise DataError("A store needs at least one image, found none. Remedy: check the split and its list file.")
        if len(self.ids) != len(self.sizes):
            raise DataError(f"A store needs one size per image, found {len(self.sizes)} for {len(self.ids)} ids.")
        twice = [name for name, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise DataError(f"Image ids must be unique, found twice: {first_of(twice, 5)}. Remedy: mend the list file.")

    def attributes(self) -> dict[str, Any]:
        """The header as JSON values."""
        return {
            "ids": list(self.ids),
            "sizes": [list(size) for size in self.sizes],
            "class_names": list(self.class_names),
            "catalogue": self.catalogue,
        }

    @classmethod
    def read(cls, attributes: dict[str, Any]) -> Header:
        """The inverse of :meth:`attributes`."""
        sizes = tuple((height, width) for height, width in attributes["sizes"])
        return cls(tuple(attributes["ids"]), sizes, tuple(attributes["class_names"]), attributes["catalogue"])
