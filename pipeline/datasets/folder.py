"""folder: a practitioner's folder of images with a CSV of tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from models.errors import ConfigurationError, DataError, closest
from pipeline.datasets.listing import Listed, Listing
from pipeline.datasets.tables import Row, read_table
from stages.prepare import Problem

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
BACKGROUND_ONLY = "background"
"""In a tags cell: the image was looked at and shows none of the classes."""


def folder(
    root: str,
    *,
    images: str = "images",
    tags: str | None = "tags.csv",
    masks: str | None = None,
    classes: list[str] | None = None,
    val_fraction: float = 0.2,
    seed: int = 0,
) -> Listing:
    """List a folder of images.

    The CSV has a column ``image`` (file name, with or without suffix) and either a column ``tags`` (class names
    separated by ``;``, or ``background`` for none), or a column ``tag`` with one class a row and a row for each class
    of an image, or a column with 0 or 1 for each class; a column ``split`` names each image's split. An empty tags
    cell is an error unless the image has a mask.

    Args:
        root: relative to the project root.
        images: folder of the images under ``root``; EXIF orientation is applied.
        tags: CSV under ``root``; None takes every image, without tags (they can be derived from masks).
        masks: folder under ``root`` of PNGs (same name) with values 0..C and 255 void; an image may lack one.
        classes: names in the order of their numbers; None sorts the names of the CSV.
        val_fraction: without a ``split`` column, the part of the images that becomes "val" (of those with masks,
            where there are masks; all others are "train"). 0 makes no "val".
        seed: of that choice, which depends on the ids and not on their order.

    Raises:
        ConfigurationError: options that contradict each other.
        DataError: no such folder, or a CSV that cannot be read.
    """
    if not 0 <= val_fraction < 1:
        raise ConfigurationError(f"folder: expected 0 <= val_fraction < 1, found {val_fraction}.")
    there = _Files(Path(root), images, masks)
    table = None if tags is None else TagTable.read(Path(root) / tags, classes)
    if table is None and classes is None:
        raise ConfigurationError("folder: without a CSV of tags, name the `classes` in the order of the mask values.")
    names = tuple(classes) if classes is not None else table.classes if table else ()
    listed, problems = there.list_all() if table is None else table.list_all(there, names)
    splits = _splits(table, listed, val_fraction, seed)
    values = tuple(range(1, len(names) + 1))
    return Listing(Path(root).as_posix(), names, splits, values, len(names), problems, upright=True)


class _Files:
    """Images and masks of the folder by stem."""

    def __init__(self, root: Path, images: str, masks: str | None) -> None:
        for name in filter(None, (images, masks)):
            if not (root / name).is_dir():
                raise DataError(
                    f"{root / name}: expected a folder, found none. Set `images` and `masks` to their names."
                )
        self.root, self.images, self.masks = root, images, masks
        self.by_stem: dict[str, list[str]] = {}
        for path in sorted((root / images).iterdir()):
            if path.suffix.lower() in SUFFIXES:
                self.by_stem.setdefault(path.stem, []).append(path.name)

    def mask(self, id: str) -> str | None:
        """The mask's path under the root, or None."""
        relative = f"{self.masks}/{id}.png"
        return relative if self.masks is not None and (self.root / relative).is_file() else None

    def list_all(self) -> tuple[list[Listed], list[Problem]]:
        """Every image, without tags."""
        listed = [self._listed(stem, name) for stem, names in self.by_stem.items() for name in names[:1]]
        return listed, self.ambiguous()

    def ambiguous(self) -> list[Problem]:
        """Images that share a stem: which of them an id means cannot be known."""
        doubles = [(stem, names) for stem, names in self.by_stem.items() if len(names) > 1]
        where = str(self.root / self.images)
        return [Problem(stem, where, f"one image with the name '{stem}'", ", ".join(names)) for stem, names in doubles]

    def find(self, row: Row) -> Listed:
        """The image that a row names; a file that is not there is found out when it is read."""
        name = row.cells["image"]
        known = name.lower().endswith(SUFFIXES)
        id = name.rpartition(".")[0] if known else name
        file = name if known else self.by_stem.get(name, [name])[0]
        return replace(self._listed(id, file), where=row.where)

    def _listed(self, id: str, file: str) -> Listed:
        relative = f"{self.images}/{file}"
        return Listed(id, relative, self.mask(id), where=str(self.root / relative))


@dataclass(frozen=True)
class TagTable:
    """The CSV of tags: names of the tags of each row (None for an empty cell)."""

    path: Path
    rows: list[Row]
    tags: list[list[str] | None]
    classes: tuple[str, ...]
    problems: list[Problem]

    @classmethod
    def read(cls, path: Path, classes: Sequence[str] | None) -> TagTable:
        header, rows = read_table(path, ["image"])
        problems = _split_problems(rows)
        if "tag" in header and "tags" not in header:
            header, rows = ("image", "tags"), _merged(rows)
        if "tags" in header:
            tags = [_listed_names(row) for row in rows]
            named = sorted({name for names in tags if names for name in names})
        else:
            named = [name for name in classes or header if name not in ("image", "split")]
            read_table(path, ["image", *named])
            tags = [_marked_names(row, named, problems) for row in rows]
        if not named and classes is None:
            expected = "a column 'tags' (or 'tag', a row for each), or a column of 0 and 1 for each class"
            raise DataError(f"{path}: expected {expected}, found no class.")
        return cls(path, rows, tags, tuple(sorted(named)), problems)

    def list_all(self, files: _Files, names: tuple[str, ...]) -> tuple[list[Listed], list[Problem]]:
        """Every row as an image with its tags; images without a row are problems."""
        problems = self.problems + files.ambiguous()
        listed = []
        for row, tags in zip(self.rows, self.tags, strict=True):
            item = files.find(row)
            unknown = [name for name in tags or () if name not in names]
            if unknown:
                found = ", ".join(f"'{name}'" for name in unknown) + f".{closest(unknown[0], names)}"
                problems.append(Problem(item.id, row.where, "classes of the data set", found))
            if tags is None and item.mask is None:
                expected = f"tags, or '{BACKGROUND_ONLY}' for an image without objects"
                problems.append(Problem(item.id, row.where, expected, "an empty cell"))
            numbers = None if tags is None else tuple(sorted({names.index(t) + 1 for t in tags if t in names}))
            listed.append(replace(item, tags=numbers))
        named = {item.id for item in listed}
        missing = [stem for stem in files.by_stem if stem not in named]
        place = f"{files.root / files.images}"
        problems += [
            Problem(stem, f"{place}/{files.by_stem[stem][0]}", f"a row in {self.path.name}", "none") for stem in missing
        ]
        return listed, problems


def _merged(rows: Sequence[Row]) -> list[Row]:
    """One row for each image out of one for each image and tag."""
    merged: dict[str, Row] = {}
    for row in rows:
        first = merged.setdefault(row.cells["image"], Row(row.where, {**row.cells, "tags": ""}))
        first.cells["tags"] += f"{row.cells['tag']};"
    return list(merged.values())


def _listed_names(row: Row) -> list[str] | None:
    names = [name.strip() for name in row.cells["tags"].split(";") if name.strip()]
    if not names:
        return None
    return [name for name in names if name != BACKGROUND_ONLY]


def _marked_names(row: Row, classes: Sequence[str], problems: list[Problem]) -> list[str]:
    wrong = [f"{name}='{row.cells[name]}'" for name in classes if row.cells[name] not in ("0", "1")]
    if wrong:
        id = Path(row.cells["image"]).stem
        problems.append(Problem(id, row.where, "0 or 1 for each class", ", ".join(wrong)))
    return [name for name in classes if row.cells[name] == "1"]


def _split_problems(rows: Sequence[Row]) -> list[Problem]:
    """An image in two splits would be trained on and tested on."""
    first: dict[str, str] = {}
    problems = []
    for row in rows:
        split = first.setdefault(row.cells["image"], row.cells.get("split", ""))
        if split != row.cells.get("split", ""):
            id = Path(row.cells["image"]).stem
            problems.append(Problem(id, row.where, f"one split for each image ('{split}')", f"'{row.cells['split']}'"))
    return problems


def _splits(
    table: TagTable | None, listed: Sequence[Listed], val_fraction: float, seed: int
) -> Mapping[str, list[Listed]]:
    if table is not None and table.rows and "split" in table.rows[0].cells:
        return _named_splits(table, listed)
    pool = sorted({item.id for item in listed if item.mask is not None} or {item.id for item in listed})
    pool.sort(key=lambda id: (crc32(f"{seed}:{id}".encode()), id))
    val = set(pool[: round(val_fraction * len(listed))])
    splits = {"train": [i for i in listed if i.id not in val], "val": [i for i in listed if i.id in val]}
    return {name: items for name, items in splits.items() if items or name == "train"}


def _named_splits(table: TagTable, listed: Sequence[Listed]) -> dict[str, list[Listed]]:
    splits: dict[str, list[Listed]] = {}
    for row, item in zip(table.rows, listed, strict=True):
        if not row.cells["split"]:
            raise DataError(f"{row.where}: expected a split (train, val, ...), found an empty cell.")
        splits.setdefault(row.cells["split"], []).append(item)
    return splits
