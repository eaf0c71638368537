"""What ``prepare`` found out about a data set: the Catalogue. The ground truth lies apart (ground_truth.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError, DataError, closest
from models.structures import Image
from pipeline.datasets.images import BadFileError, read_image
from pipeline.datasets.versioned import Members, read_versioned, versioned_digest, versioned_text, write_versioned

FILE = "catalogue.json"
SCHEMA = "weak2mask-catalogue"


@dataclass(frozen=True, slots=True)
class CatalogueImage:
    """One image. Paths are relative to the catalogue's root, with forward slashes.

    Attributes:
        id: the image's name, without folder and suffix.
        image: its file.
        size: (H, W) in pixels, after the orientation was applied where the catalogue is ``upright``.
        tags: published image labels, ascending, 1..C; None where the data set publishes none.
        sha256: of the image file.
    """

    id: str
    image: str
    size: tuple[int, int]
    tags: tuple[int, ...] | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Catalogue:
    """Checked images, their splits and class names.

    Attributes:
        name: of the catalogue, as the recipe calls it.
        class_names: C foreground names; class c is ``class_names[c - 1]``.
        splits: split name to ids, in order.
        entries: by id.
        root: where the files lie: relative to the project root, or "." for the catalogue's own folder.
        mask_values: the data set's own value of each class (1..C unless given), as its masks and points have it.
        mask_background: the value of the background in the data set's masks; None where they have none.
        left_out: id to reason, for images that ``on_bad_image: skip`` left out.
        upright: EXIF orientation is applied to the images.
        limit: images of each split that were taken, of more; None for all.
        folder: where the catalogue itself lies; no part of its content.
    """

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]
    entries: Mapping[str, CatalogueImage]
    root: str = "."
    mask_values: tuple[int, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    upright: bool = False
    limit: int | None = None
    folder: Path = Path(".")
    mask_background: int | None = 0

    def __post_init__(self) -> None:
        if not self.mask_values:
            object.__setattr__(self, "mask_values", tuple(range(1, self.num_classes + 1)))

    @property
    def num_classes(self) -> int:
        """C, background not counted."""
        return len(self.class_names)

    def ids(self, split: str) -> tuple[str, ...]:
        """Ids of a split, in order.

        Raises:
            ConfigurationError: no such split.
        """
        if split not in self.splits:
            raise ConfigurationError(f"Catalogue '{self.name}' has no split '{split}'.{closest(split, self.splits)}")
        return self.splits[split]

    def entry(self, id: str) -> CatalogueImage:
        """Raises DataError when the image is not in the catalogue (or was left out, with the reason)."""
        try:
            return self.entries[id]
        except KeyError:
            reason = f" It was left out: {self.left_out[id]}." if id in self.left_out else ""
            raise DataError(f"Catalogue '{self.name}' has no image '{id}'.{reason}") from None

    def size(self, id: str) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.entry(id).size

    def image(self, id: str) -> Image:
        """uint8 [H,W,3] RGB.

        Raises:
            DataError: the file is gone, or is not the one that ``prepare`` saw.
        """
        entry = self.entry(id)
        path = self.path(entry.image)
        try:
            image = read_image(path, upright=self.upright)
        except BadFileError as bad:
            raise self.changed(path, bad.expected, bad.found) from None
        if image.shape[:2] != entry.size:
            raise self.changed(path, f"size {entry.size} (H, W)", str(image.shape[:2]))
        self.require_same(path, entry.sha256)
        return image

    def path(self, relative: str) -> Path:
        """A file of the data set on this machine."""
        return (self.folder if self.root == "." else Path(self.root)) / relative

    @cached_property
    def _same(self) -> set[Path]:
        """Files that were compared: once a process, for it takes a twelfth of the time in which a JPEG is decoded."""
        return set()

    def require_same(self, path: Path, sha256: str) -> None:
        """Raises DataError where a file of the data set is there with other bytes than ``prepare`` saw ("": any)."""
        if not sha256 or path in self._same or not path.is_file():
            return
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # it went while it was looked at
            raise self.changed(path, f"the file of sha256 {sha256[:12]}", "none") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise self.changed(path, f"the file of sha256 {sha256[:12]}", "other bytes")
        self._same.add(path)

    def changed(self, path: Path, expected: str, found: str) -> DataError:
        """The error for a file that is no longer what ``prepare`` checked."""
        return DataError(
            f"{path}: expected {expected}, found {found}.\n"
            f"The data set changed after catalogue '{self.name}' was made: restore the file or run prepare again."
        )

    @cached_property
    def digest(self) -> str:
        """sha256 of the content of catalogue.json."""
        return self.entries.digest if isinstance(self.entries, Members) else versioned_digest(self._plain())

    def content(self) -> str:
        """The text of catalogue.json: sorted keys, nothing of this machine."""
        return versioned_text(self._plain())

    def save(self, folder: Path) -> None:
        """Write catalogue.json into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_versioned(folder / FILE, self._plain())

    def _plain(self) -> dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "folder"}
        for key, usual in (("limit", None), ("mask_background", 0)):
            if plain[key] == usual:
                del plain[key]  # so that most data sets keep their bytes
        return {"schema": SCHEMA, **plain}

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Read a catalogue.

        Raises:
            DataError: there is none, or it is of another version.
        """
        plain = read_versioned(Path(folder) / FILE, SCHEMA, {"entries": _entry, "left_out": str, "splits": _split})
        for key in ("class_names", "mask_values"):
            plain[key] = tuple(plain[key])
        return cls(**plain, folder=Path(folder))


def _entry(plain: dict[str, Any]) -> CatalogueImage:
    tags = plain["tags"]
    return CatalogueImage(**{**plain, "size": tuple(plain["size"]), "tags": None if tags is None else tuple(tags)})


def _split(ids: list[str]) -> tuple[str, ...]:
    return tuple(ids)
