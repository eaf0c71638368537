"""What ``prepare`` found out about a data set: the Catalogue, and apart from it the door to the ground truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError, DataError, closest
from models.structures import BACKGROUND, IGNORE, MAX_CLASSES, Image, Mask
from pipeline.datasets.images import MOST_INSTANCES, BadFileError, read_image, read_indices

FILE = "catalogue.json"
TRUTH_FILE = "ground_truth.json"
SCHEMA = "weak2mask-catalogue"
TRUTH_SCHEMA = "weak2mask-ground-truth"
VERSION = 1

Corners: TypeAlias = tuple[float, float, float, float]
"""A box: left, top, right and bottom in pixels from 0, right and bottom exclusive."""


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
            DataError: the file is gone, damaged, or of another size than ``prepare`` saw.
        """
        entry = self.entry(id)
        path = self.path(entry.image)
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
        return _text({"schema": SCHEMA, **fields})

    def save(self, folder: Path) -> None:
        """Write catalogue.json into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self.content(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Read a catalogue.

        Raises:
            DataError: there is none, or it is of another version.
        """
        path = Path(folder) / FILE
        catalogue = cls(**_typed(_read(path, SCHEMA)), folder=Path(folder))
        vars(catalogue)["digest"] = hashlib.sha256(path.read_bytes()).hexdigest()  # of a million images: a minute less
        return catalogue


@dataclass(frozen=True)
class ImageTruth:
    """Ground truth of one image.

    Attributes:
        mask: PNG of class values, or None.
        instances: PNG of instance numbers (0 none, 255 void; of 16 bits for more than 254 objects), or None.
        sha256: of the mask file.
        boxes: of the objects of the image's only class, or None where the data set has no boxes.
    """

    mask: str | None
    instances: str | None = None
    sha256: str = ""
    boxes: tuple[Corners, ...] | None = None


class GroundTruth:
    """The only door to ground-truth masks and boxes: none but prepare, annotate and the evaluations may hold one.

    It is an artefact of its own, so that the graph shows who depends on it.

    Args:
        catalogue: of the same images.
        folder: where ``prepare`` wrote ground_truth.json. It is read when the first mask is asked for.
    """

    def __init__(self, catalogue: Catalogue, folder: Path) -> None:
        self.catalogue, self.folder = catalogue, Path(folder)
        lookup = np.full(256, IGNORE, dtype=np.uint8)
        if catalogue.mask_background is not None:
            lookup[catalogue.mask_background] = BACKGROUND
        if catalogue.num_classes <= MAX_CLASSES:  # otherwise there are no masks
            lookup[list(catalogue.mask_values)] = np.arange(1, catalogue.num_classes + 1)
        self._lookup = lookup

    def mask(self, id: str) -> Mask:
        """uint8 [H,W]: 0 background, 1..C, and 255 for void and for classes that the catalogue does not keep.

        Raises:
            DataError: the image has no mask, or its file changed.
        """
        size = self.catalogue.size(id)
        mask = self._entries[id].mask if id in self._entries else None
        if mask is None:
            raise DataError(
                f"Image '{id}' of catalogue '{self.catalogue.name}' has no ground-truth mask: it cannot be evaluated, "
                "and no labels can be derived for it. Name its mask folder in the data set's options."
            )
        return self._lookup[self._indices(mask, size)]

    def boxes(self, id: str) -> npt.NDArray[np.float32] | None:
        """float32 [N,4] XYXY, right and bottom exclusive, of the image's only class; None where there are none."""
        entry = self._entries.get(id)
        if entry is None or entry.boxes is None:
            return None
        return np.array(entry.boxes, np.float32).reshape(-1, 4)

    def instances(self, id: str) -> npt.NDArray[np.int32] | None:
        """int32 [H,W] instance numbers, 0 none; None where the data set has no instances."""
        entry = self._entries.get(id)
        if entry is None or entry.instances is None:
            return None
        numbers = self._indices(entry.instances, self.catalogue.size(id), MOST_INSTANCES)
        return np.where(numbers == IGNORE, 0, numbers).astype(np.int32)

    @staticmethod
    def save(folder: Path, root: str, entries: Mapping[str, ImageTruth]) -> None:
        """Write ground_truth.json into ``folder``; ``root`` as in :class:`Catalogue`."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {"schema": TRUTH_SCHEMA, "root": root, "entries": {id: _plain(entry) for id, entry in entries.items()}}
        (folder / TRUTH_FILE).write_text(_text(plain), encoding="utf-8")

    @cached_property
    def _root(self) -> Path:
        root = self._content[0]
        return self.folder if root == "." else Path(root)

    @property
    def _entries(self) -> dict[str, ImageTruth]:
        return self._content[1]

    @cached_property
    def _content(self) -> tuple[str, dict[str, ImageTruth]]:
        path = self.folder / TRUTH_FILE
        return _read_truth(path, Path.cwd(), path.stat().st_mtime_ns if path.exists() else 0)

    def _indices(self, relative: str, size: tuple[int, int], most: int = IGNORE) -> npt.NDArray[np.int32]:
        path = self._root / relative
        try:
            indices = read_indices(path)
        except BadFileError as bad:
            raise self.catalogue.changed(path, bad.expected, bad.found) from None
        if indices.shape != size or indices.max(initial=0) > most:
            found = f"values up to {indices.max(initial=0)} of size {indices.shape}"
            raise self.catalogue.changed(path, f"values 0..{most} of size {size}", found)
        return indices


@lru_cache(maxsize=2)
def _read_truth(path: Path, cwd: Path, written: int) -> tuple[str, dict[str, ImageTruth]]:
    """Root and entries, read once a process and not once a part."""
    content = _read(path, TRUTH_SCHEMA)
    return content["root"], {id: ImageTruth(**entry) for id, entry in content["entries"].items()}


def _plain(entry: ImageTruth) -> dict[str, Any]:
    """Without boxes where there are none, so that data sets of masks keep their bytes."""
    return {key: value for key, value in asdict(entry).items() if key != "boxes" or value is not None}


def _text(plain: Mapping[str, Any]) -> str:
    return json.dumps({"version": VERSION, **plain}, sort_keys=True, indent=1) + "\n"


def _read(path: Path, schema: str) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
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
