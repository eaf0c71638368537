"""What ``prepare`` found out about a data set: the Catalogue. The ground truth lies apart (ground_truth.py)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError, DataError, closest
from models.structures import Image
from pipeline.datasets.images import BadFileError, read_image
from pipeline.storage.sums import checked_bytes, write_sums

FILE = "catalogue.json"
SCHEMA = "weak2mask-catalogue"
VERSION = 1


@dataclass(frozen=True)
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
    splits: dict[str, tuple[str, ...]]
    entries: dict[str, CatalogueImage]
    root: str = "."
    mask_values: tuple[int, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
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
        if id not in self.entries:
            reason = f" It was left out: {self.left_out[id]}." if id in self.left_out else ""
            raise DataError(f"Catalogue '{self.name}' has no image '{id}'.{reason}")
        return self.entries[id]

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
        self.require_same(path, entry.sha256)
        try:
            image = read_image(path, upright=self.upright)
        except BadFileError as bad:
            raise self.changed(path, bad.expected, bad.found) from None
        if image.shape[:2] != entry.size:
            raise self.changed(path, f"size {entry.size} (H, W)", str(image.shape[:2]))
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
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
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
        return hashlib.sha256(self.content().encode()).hexdigest()

    def content(self) -> str:
        """The text of catalogue.json: sorted keys, nothing of this machine."""
        fields = {key: value for key, value in asdict(self).items() if key != "folder"}
        for key, usual in (("limit", None), ("mask_background", 0)):
            if fields[key] == usual:
                del fields[key]  # so that most data sets keep their bytes
        return versioned_text({"schema": SCHEMA, **fields})

    def save(self, folder: Path) -> None:
        """Write catalogue.json into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self.content(), encoding="utf-8")
        write_sums(folder, [FILE])

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Read a catalogue.

        Raises:
            DataError: there is none, or it is of another version.
        """
        path = Path(folder) / FILE
        catalogue = cls(**_typed(read_versioned(path, SCHEMA)), folder=Path(folder))
        vars(catalogue)["digest"] = hashlib.sha256(path.read_bytes()).hexdigest()  # of a million images: a minute less
        return catalogue


def versioned_text(plain: Mapping[str, Any]) -> str:
    """The text of a JSON file of :data:`VERSION`: sorted keys, so that equal contents are equal bytes."""
    return json.dumps({"version": VERSION, **plain}, sort_keys=True, indent=1) + "\n"


def read_versioned(path: Path, schema: str) -> dict[str, Any]:
    """What :func:`versioned_text` wrote under the key "schema": ``schema``. Raises DataError for any other file."""
    try:
        plain = json.loads(checked_bytes(path))
    except FileNotFoundError:
        raise DataError(f"{path}: expected a {schema} file, found no such file. Run prepare first.") from None
    except ValueError as error:
        raise DataError(f"{path}: expected a {schema} file, found damaged JSON ({error}). Run prepare again.") from None
    kind = (plain.pop("schema", None), plain.pop("version", None)) if isinstance(plain, dict) else (None, None)
    if kind != (schema, VERSION):
        raise DataError(f"{path}: expected {schema} version {VERSION}, found {kind}. Run prepare again.")
    return dict(plain)


def _typed(plain: Mapping[str, Any]) -> dict[str, Any]:
    entries = {
        id: CatalogueImage(**{**entry, "size": tuple(entry["size"]), "tags": _tuple(entry["tags"])})
        for id, entry in plain["entries"].items()
    }
    splits = {name: tuple(ids) for name, ids in plain["splits"].items()}
    tuples = {"class_names": tuple(plain["class_names"]), "mask_values": tuple(plain["mask_values"])}
    return {**plain, **tuples, "splits": splits, "entries": entries}


def _tuple(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)
