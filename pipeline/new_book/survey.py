"""What lies in a user's folder: images, tags, other annotations, masks; and what is odd about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from models.errors import DataError, closest
from pipeline.datasets.folder import BACKGROUND_ONLY, SUFFIXES, folder
from pipeline.datasets.listing import Listing
from pipeline.datasets.tables import read_table
from stages.prepare import Problem, duplicate_problems, report

IMAGE_FOLDERS = ("images", "JPEGImages", "imgs", "photos", ".")
ANNOTATIONS = {"boxes": "boxes.csv", "points": "points.csv", "scribbles": "scribbles"}
FEWEST = 4
FEW = 10
"""Fewer images are not worth a validation split."""
MEASURED = 300
SEVERAL_ROWS = (
    "Images with more than one row in the CSV are left out: put the classes of an image into one row ('cat;dog'), or "
    "call the column 'tag' to have one row for each class"
)


@dataclass(frozen=True)
class Survey:
    """A folder as the reader ``folder`` sees it. Paths are relative to it.

    Attributes:
        images: folder of the images.
        tags: CSV of tags, or None.
        classes: names in the order of their numbers.
        splits: split name to its ids.
        val_fraction: what the reader is told; None where the CSV has a column ``split``.
        size: median (H, W) of the images.
        annotations: kind to file, of those that cover the training split.
        masks: folder of masks, or None; ``measured`` are the splits that have one for each image.
        notes: what the user should know.
    """

    images: str
    tags: str | None
    classes: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    val_fraction: float | None
    size: tuple[int, int]
    annotations: dict[str, str] = field(default_factory=dict)
    masks: str | None = None
    measured: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> int:
        """Number of training images."""
        return len(self.splits["train"])

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(map(len, self.splits.values()))


def survey(data: Path) -> Survey:
    """Look at a folder.

    Raises:
        DataError: no images, no labels, labels of other images, or too little to learn from.
    """
    if not data.is_dir():
        raise DataError(f"{data}: expected a folder with images and a CSV of tags, found none.")
    images, tags = _images_folder(data), _tags_file(data)
    masks = "masks" if (data / "masks").is_dir() else None
    classes = None if tags else _annotated_classes(data)
    listing = folder(str(data), images=images, tags=tags, masks=masks, classes=classes)
    there = {item.id: item for items in listing.splits.values() for item in items if (data / item.image).is_file()}
    notes = list(_file_notes(data, listing, there, tags))
    named = "split" in read_table(data / tags, ["image"])[0] if tags else False
    few = not named and len(there) < FEW
    if few:
        listing = folder(str(data), images=images, tags=tags, masks=masks, classes=classes, val_fraction=0)
    twice = [p for name in listing.splits for p in _twice(name, listing)]
    if twice:
        notes.append(f"{SEVERAL_ROWS}. {report(twice, limit=5)}")
    good = there.keys() - {problem.id for problem in twice}
    splits = {name: tuple(i.id for i in items if i.id in good) for name, items in listing.splits.items()}
    _check_splits(splits, data, f" {SEVERAL_ROWS}; the first is {twice[0].path}." if twice else "")
    size, size_notes = _sizes([data / item.image for item in there.values()])
    annotations, annotation_notes = _annotations(data, splits["train"], listing.class_names)
    if not tags and not annotations:
        raise DataError(
            f"{data}: without tags, one kind of labels has to cover every training image; found: "
            f"{' '.join(annotation_notes)} Remedy: label those images too, or add a CSV of tags."
        )
    measured = [name for name, ids in splits.items() if ids and all(there[id].mask for id in ids)]
    return Survey(
        images=images,
        tags=tags,
        classes=listing.class_names,
        splits={name: ids for name, ids in splits.items() if ids},
        val_fraction=None if named else 0.0 if few else 0.2,
        size=size,
        annotations=annotations,
        masks=masks,
        measured=tuple(measured),
        notes=(*notes, *_class_notes(listing.class_names), *size_notes, *annotation_notes),
    )


def slug(text: str) -> str:
    """A name as params.yaml wants it: lower case, digits, underscores."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "mine"


def _images_folder(data: Path) -> str:
    for name in IMAGE_FOLDERS:
        if (data / name).is_dir() and _has_images(data / name):
            return name
    others = [path.name for path in sorted(data.iterdir()) if path.is_dir() and _has_images(path)]
    others = [name for name in others if name not in ("masks", "scribbles")]
    if len(others) == 1:
        return others[0]
    found = f"images in {', '.join(others)}" if others else "none"
    raise DataError(f"{data}: expected images in {data / 'images'} ({', '.join(SUFFIXES)}), found {found}.")


def _has_images(path: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES for entry in path.iterdir())


def _tags_file(data: Path) -> str | None:
    """The CSV of tags: tags.csv, or the only CSV that is no other kind of annotation."""
    if (data / "tags.csv").is_file():
        return "tags.csv"
    known = set(ANNOTATIONS.values())
    found = sorted(path.name for path in data.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    others = [name for name in found if name not in known]
    if len(others) > 1:
        raise DataError(f"{data}: expected one CSV of tags, found {', '.join(others)}. Call the right one tags.csv.")
    if not others and not {"boxes.csv", "points.csv"} & set(found):
        raise DataError(
            f"{data}: expected a CSV of tags (columns image,tags: '0001.jpg,cat;dog'), boxes.csv or points.csv, "
            "found none."
        )
    return others[0] if others else None


def _annotated_classes(data: Path) -> list[str]:
    rows = [
        row
        for file in ("boxes.csv", "points.csv")
        if (data / file).is_file()
        for row in read_table(data / file, ["image", "class"])[1]
    ]
    for row in rows:
        if not row.cells["class"]:
            raise DataError(f"{row.where}: expected a class name, or '{BACKGROUND_ONLY}', found an empty cell.")
    names = {row.cells["class"] for row in rows}
    if not names - {BACKGROUND_ONLY}:
        raise DataError(f"{data}: expected class names in boxes.csv or points.csv, found none.")
    return sorted(names - {BACKGROUND_ONLY})


def _file_notes(data: Path, listing: Listing, there: Collection[str], tags: str | None) -> Iterator[str]:
    """Images and rows that do not find each other; DataError when none do."""
    listed = {item.id: item for items in listing.splits.values() for item in items}
    gone = [item for id, item in listed.items() if id not in there]
    if not there:
        names = [Path(item.image).name for item in gone[:3]]
        inside = sorted(path.name for path in (data / Path(gone[0].image).parent).iterdir()) if gone else []
        hint = closest(names[0], inside[:200]).partition(" Valid:")[0] if names else ""
        raise DataError(
            f"{data / (tags or '')}: expected the names of images, found {', '.join(names) or 'no rows'}, ...; the "
            f"folder of images holds {', '.join(inside[:3])}, ... None agree.{hint}"
        )
    if gone:
        yield f"{len(gone)} rows of {tags} name images that are not there ({gone[0].where}); they will be left out."
    if listing.problems:
        yield f"These images will be left out. {report(listing.problems, limit=5)}"


def _twice(split: str, listing: Listing) -> list[Problem]:
    """Images with several rows, as ``prepare`` will find them."""
    return duplicate_problems(split, [(item.id, item.where) for item in listing.splits[split]])


def _check_splits(splits: dict[str, tuple[str, ...]], data: Path, hint: str = "") -> None:
    entries: dict[str, str] = {}
    for name in splits:
        other = entries.setdefault(slug(name), name)
        if other != name:
            raise DataError(
                f"{data}: expected names of splits that differ in letters and digits, since entries of the book are "
                f"named after them; found '{other}' and '{name}', both '{slug(name)}'. Rename one of them."
            )
    if "train" not in splits:
        raise DataError(
            f"{data}: expected a split 'train', found {', '.join(splits)}. Rename it in the column 'split'."
        )
    if len(splits["train"]) < FEWEST:
        raise DataError(
            f"{data}: expected at least {FEWEST} training images with tags, found {len(splits['train'])}. "
            f"A few dozen for each class are a beginning.{hint}"
        )


def _class_notes(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        twin = next((other for other in names if other < name and other.casefold() == name.casefold()), None)
        if twin is not None:
            yield f"Classes '{twin}' and '{name}' differ in capitals only. If they are one, write it in one way."


def _sizes(paths: Sequence[Path]) -> tuple[tuple[int, int], list[str]]:
    """Median (H, W), from the headers of at most :data:`MEASURED` files."""
    from PIL import Image

    sizes = []
    for path in paths[:: max(1, len(paths) // MEASURED)]:
        try:
            with Image.open(path) as picture:
                sizes.append((picture.height, picture.width))
        except (OSError, ValueError, Image.DecompressionBombError):  # prepare says what is wrong with it
            continue
    if not sizes:
        raise DataError(f"{paths[0].parent}: no image there can be opened.")
    lengths = sorted(max(size) for size in sizes)
    notes = []
    if lengths[-1] > 3 * lengths[0]:
        notes.append(
            f"Long sides go from {lengths[0]} to {lengths[-1]} pixels. Networks see objects best at the size that "
            "they were trained at: bring the images to similar sizes."
        )
    if median(lengths) > 1600:
        notes.append("The images are large: the dense CRF takes seconds for each. Smaller copies train as well.")
    return (round(median(h for h, _ in sizes)), round(median(w for _, w in sizes))), notes


def _annotations(data: Path, train: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Kinds whose file covers the training images, and notes on the others."""
    found, notes = {}, []
    for kind, name in ANNOTATIONS.items():
        path = data / name
        if path.is_dir() if kind == "scribbles" else path.is_file():
            ids = _annotated_ids(path, classes)
            missing = [id for id in train if id not in ids]
            if missing:
                notes.append(f"{name} has nothing for {len(missing)} of {len(train)} training images: it is not used.")
            else:
                found[kind] = name
    return found, notes


def _annotated_ids(path: Path, classes: Sequence[str]) -> set[str]:
    if path.is_dir():
        return {file.stem for file in path.glob("*.png")}
    rows = read_table(path, ["image", "class"])[1]
    for row in rows:
        name = row.cells["class"]
        if name not in (*classes, BACKGROUND_ONLY):
            raise DataError(f"{row.where}: unknown class '{name}'.{closest(name, (*classes, BACKGROUND_ONLY))}")
    names = [row.cells["image"] for row in rows]
    return {name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name for name in names}
