"""One page of a data set's images, however many there are: a filter looks at a bounded number of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import ConfigurationError
from pipeline.look.images import ImageSet

Tags = Callable[[str], Sequence[int] | None]

MOST = 120
"""Images of a page."""
LOOKED = 20_000
"""Images that a filter looks at before it answers; the page then goes on from there."""


@dataclass(frozen=True)
class Query:
    """Which images are asked for.

    Attributes:
        split: of the data set.
        at: position in the split to begin with, from 0; the last one where that is smaller.
        back: go towards the first image instead of the last.
        count: images at most, 1 to :data:`MOST`.
        tag: class 1..C that the image is tagged with; 0 for any.
        find: a part of the id; capitals do not count.
        drawn: True for images with drawn labels, False for those without, None for both.
    """

    split: str
    at: int = 0
    back: bool = False
    count: int = 60
    tag: int = 0
    find: str = ""
    drawn: bool | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST or self.at < 0 or self.tag < 0:
            raise ConfigurationError(
                f"Expected a position of 0 or more, 1 to {MOST} images and a class of 1..C, or 0; "
                f"found {self.at}, {self.count} and {self.tag}."
            )


def page(images: ImageSet, query: Query, drawn: Collection[str], tags: Tags | None = None) -> dict[str, Any]:
    """The images that match, in the order of the split.

    Args:
        images: of the data set.
        query: what is asked for.
        drawn: ids of images that have drawn labels.
        tags: the classes of an image, None where nobody said; by default those of the catalogue.

    Returns:
        ``items`` ({id, at, tags, drawn}), ``total`` images of the split and how many of them are ``drawn``, and the
        positions ``next`` and ``previous`` to ask on from, None at an end.

    Raises:
        ConfigurationError: no such split.
    """
    ids = images.ids(query.split)
    tags = tags or (lambda id: images.catalogue.entry(id).tags)
    matches = _matcher(query, drawn, tags)
    start = min(query.at, max(len(ids) - 1, 0))
    end = max(start - LOOKED, -1) if query.back else min(start + LOOKED, len(ids))
    found: list[int] = []
    position = start
    for position in range(start, end, -1 if query.back else 1):
        if matches(ids[position]):
            found.append(position)
            if len(found) == query.count:
                break
    first, last = (position, start) if query.back else (start, position)
    return {
        "items": [
            {"id": ids[at], "at": at, "tags": list(tags(ids[at]) or ()), "drawn": ids[at] in drawn}
            for at in sorted(found)
        ],
        "total": len(ids),
        "drawn": sum(id in drawn for id in ids) if drawn else 0,
        "next": last + 1 if last + 1 < len(ids) else None,
        "previous": first - 1 if first > 0 else None,
    }


def _matcher(query: Query, drawn: Collection[str], tags: Tags) -> Callable[[str], bool]:
    part = query.find.casefold()

    def matches(id: str) -> bool:
        if part and part not in id.casefold():
            return False
        if query.drawn is not None and query.drawn != (id in drawn):
            return False
        return not query.tag or query.tag in (tags(id) or ())

    return matches
