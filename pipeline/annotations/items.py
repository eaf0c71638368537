"""What a person marked in an image, and what a file of such marks gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from models.errors import DataError
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice, first_lines

SHOWN = 20
Item = TypeVar("Item")
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Known:
    """A catalogue by its content, so that what was read for it can be kept for the parts of a stage."""

    digest: str
    catalogue: Catalogue = field(compare=False)

    @classmethod
    def of(cls, catalogue: Catalogue) -> Self:
        """The catalogue's."""
        return cls(catalogue.digest, catalogue)


@dataclass(frozen=True, slots=True)
class Box:
    """XYXY in pixels, right and bottom exclusive. Class None: an object that is there but not asked for."""

    corners: tuple[float, float, float, float]
    class_: int | None


@dataclass(frozen=True, slots=True)
class Point:
    """A pixel and its class, 0 background or 1..C."""

    row: int
    column: int
    class_: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A box or a point as its file has it, before it was checked.

    Attributes:
        where: its place in the file, for messages.
        id: of an image of the catalogue.
        class_: 0 background, 1..C, or None for an object that is not asked for.
        numbers: x1, y1, x2, y2 or x, y in pixels from 0.
    """

    where: str
    id: str
    class_: int | None
    numbers: Numbers


@dataclass
class Marks:
    """All that a file says about images of the catalogue.

    Attributes:
        source: the file, for messages.
        marks: in the file's order.
        images: ids that the file says something about, if only that they have no object.
        classes: id -> classes 1..C that the file has in it, objects that are not asked for among them.
        problems: what is surely wrong.
        notices: what may be wrong.
        strangers: names of images that the catalogue does not have.
        other_size: ids whose annotations are of an image of another size.
        empty: ids of which the file says that they have no object.
    """

    source: str
    marks: list[Mark] = field(default_factory=list)
    images: dict[str, None] = field(default_factory=dict)
    classes: dict[str, set[int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    strangers: dict[str, str] = field(default_factory=dict)
    other_size: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)

    def add(self, mark: Mark, class_: int | None = None) -> None:
        """A mark; ``class_`` is that of an object that is not asked for."""
        self.marks.append(mark)
        self.images.setdefault(mark.id)
        if known := mark.class_ or class_:
            self.classes.setdefault(mark.id, set()).add(known)


@dataclass(frozen=True)
class FileItems(Generic[Item]):
    """The checked content of a file of boxes or points: by id, with what may be wrong.

    Attributes:
        items: id -> boxes or points; an image without objects has an empty list.
        classes: as in :class:`Marks`.
        notices: what may be wrong.
        strangers: names of images that the catalogue does not have.
    """

    items: dict[str, list[Item]]
    classes: dict[str, set[int]]
    notices: tuple[Notice, ...] = ()
    strangers: tuple[str, ...] = ()


def raise_together(problems: Sequence[str]) -> None:
    """Raises DataError with all problems, at most one screen."""
    if problems:
        shown = first_lines(problems, SHOWN, "... and {} more")
        raise DataError("\n  ".join([f"Bad annotations ({len(problems)}):", *shown]))
