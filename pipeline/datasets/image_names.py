"""Which image of a catalogue a name in an annotation file means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from urllib.parse import unquote

from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.file_names import nearest_name, nfc, without_suffix
from pipeline.problems.notices import first_of

_Parts = tuple[str, ...]
UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Name of an image that was uploaded to Label Studio, and in it the name that it had."""


class ImageNames:
    """Finds images by the names that annotation files have for them.

    A name may be an id, a file name or a path, of any machine (``C:\\photos\\a.jpg``); its last part decides where that
    is the name of one image only, and else the parts before it too. Composed and decomposed letters compare equal.

    Not :class:`pipeline.datasets.file_names.NameIndex`, which is stricter: a table of a data set makes its images, so a
    path in it means no file of another folder. Here the images are known, annotations came from other machines, and
    folders only decide between images of one name. Label Studio puts eight letters before the names of uploaded images,
    and changes blanks and signs: such names count where no other image is meant.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def find(self, name: str) -> str | None:
        """The id (perhaps of an image that was left out), or None for no image or for one of several."""
        for exact in (without_suffix(name), name):
            if exact in self.catalogue.entries or exact in self.catalogue.left_out:
                return exact
        candidates = self._candidates(name)
        return candidates[0] if len(candidates) == 1 else None

    def hint(self, name: str) -> str:
        """Why a name was not found: it is that of several images, or which one is nearest. Empty where none is near."""
        several = self._candidates(name)
        if len(several) > 1:
            return f"it may be any of {first_of(several)}: write its folder too"
        stem = parts[-1] if (parts := _parts(name)) else name
        near = self._folded.get(stem.casefold()) or nearest_name(stem, self.catalogue.entries)
        return f"the nearest is '{near}'" if near else ""

    def _candidates(self, name: str) -> list[str]:
        parts = _parts(name)
        if not parts:
            return []
        candidates = self._index.get(parts[-1], [])
        if not candidates and (uploaded := UPLOADED.fullmatch(parts[-1])):
            named = unquote(uploaded[1])
            return self._candidates(named) or self._uploaded.get(_as_uploaded(named), [])
        if len(candidates) < 2:
            return [id for id, _ in candidates]
        agree = [(common_tail(parts, other), id) for id, other in candidates]
        most = max(length for length, _ in agree)
        return sorted({id for length, id in agree if length == most})

    @cached_property
    def _index(self) -> dict[str, list[tuple[str, _Parts]]]:
        """Last part of an image's path, and of its id -> the images of which it is one, with all parts."""
        index: dict[str, list[tuple[str, _Parts]]] = {}
        images = dict.fromkeys(self.catalogue.left_out, "")
        images |= {id: entry.image for id, entry in self.catalogue.entries.items()}
        for id, image in images.items():
            for parts in {_parts(image), (nfc(id),)}:
                if parts:
                    index.setdefault(parts[-1], []).append((id, parts))
        return {
            last: candidates if len({id for id, _ in candidates}) > 1 else candidates[:1]
            for last, candidates in index.items()
        }

    @cached_property
    def _uploaded(self) -> dict[str, list[str]]:
        """Name of an image as Label Studio stores it -> the images that may be meant."""
        uploaded: dict[str, list[str]] = {}
        for id, entry in self.catalogue.entries.items():
            uploaded.setdefault(_as_uploaded(_parts(entry.image)[-1]), []).append(id)
        return uploaded

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {id.casefold(): id for id in self.catalogue.entries}


def _as_uploaded(name: str) -> str:
    """A name without its suffix as Label Studio changes it: no blanks, and no signs but - _ and dots."""
    return re.sub(r"[^-\w.]", "", nfc(name).strip().replace(" ", "_"))


def _parts(name: str) -> _Parts:
    """The parts of a path without the suffix of an image: of Windows and of others."""
    parts = [part for part in nfc(name).strip().replace("\\", "/").split("/") if part not in ("", ".")]
    return (*parts[:-1], *map(without_suffix, parts[-1:]))


def common_tail(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts from the end are equal."""
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
