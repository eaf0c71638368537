"""Where the images and the labels of a user's folder are, by their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from models.errors import DataError
from pipeline.datasets.file_names import nfc
from pipeline.datasets.folder_images import files_below, is_unseen
from pipeline.datasets.image_formats import SUFFIXES, by_suffix
from pipeline.datasets.tables import TableLine, read_table
from pipeline.datasets.tag_words import BACKGROUND_ONLY
from pipeline.problems.notices import first_of

IMAGE_FOLDERS = ("images", "Images", "JPEGImages", "imgs", "photos", ".")
ANNOTATIONS = {"boxes": "boxes.csv", "points": "points.csv", "scribbles": "scribbles"}
MASKS = "masks"
SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What exports call the folders of their splits."""
CLASS_COLUMNS = ("class", "label", "classname", "labelname", "category", "categoryname", "name")
LIKE_MASKS = (
    "mask",
    "labels",
    "label",
    "gt",
    "groundtruth",
    "ground_truth",
    "annotations",
    "segmentationclass",
    "segmentation",
)


def split_folders(data: Path) -> dict[str, str]:
    """Split -> folder of its images, relative to ``data``, where training images have a folder of that name.

    As YOLO's and Roboflow's exports have them: ``train/images``, ``images/train`` or ``train``, and others like it.
    """
    for form in ("{}/images", "images/{}", "{}"):
        there = {
            split: folder
            for split, names in SPLITS.items()
            for folder in [form.format(name) for name in names]
            if (data / folder).is_dir() and _has_images(data / folder)
        }
        if "train" in there and len(there) > 1:
            return there
    return {}


def images_folder(data: Path) -> str:
    """The folder of the images, relative to ``data``.

    Raises:
        DataError: none, or several.
    """
    for name in IMAGE_FOLDERS:
        if (data / name).is_dir() and _has_images(data / name, deep=name != "."):
            return name
    below = [path for path in sorted(data.iterdir()) if path.is_dir() and not is_unseen(path.name)]
    others = [path.name for path in below if path.name not in (MASKS, ANNOTATIONS["scribbles"]) and _has_images(path)]
    if len(others) == 1:
        return others[0]
    expected = f"{data}: expected images in {data / 'images'} ({', '.join(SUFFIXES)})"
    if others:
        raise DataError(
            f"{expected}, found images in {first_of(others, 5)}. Remedy: move these folders into images/, and name "
            f"their images in tags.csv with the folder: {example(data, others[0])}. If the folders are the classes, "
            f"{classes_remedy('images')}"
        )
    place = data / "images" if (data / "images").is_dir() else data
    files = by_suffix(place / path for path in files_below(place))
    raise DataError(f"{expected}, found none{f' among {files}' if files else ''}.")


def example(data: Path, folder: str) -> str:
    """The path of one image of a folder."""
    return f"{folder}/{next(path for path in sorted(files_below(data / folder)) if _is_image(path))}"


def classes_remedy(images: str) -> str:
    """How a folder for each class becomes a table of tags."""
    loop = f'cd {images} && for f in */*; do echo "$f,${{f%%/*}}"; done'
    return f"write them into one: (echo image,tag; {loop}) > tags.csv"


def _has_images(path: Path, deep: bool = True) -> bool:
    return any(_is_image(name) for name in files_below(path, deep=deep))


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def tags_file(data: Path, images: str, exports: Collection[Path] = ()) -> str | None:
    """The CSV of tags: tags.csv, or the only CSV that is no other kind of annotation; None for other labels alone.

    Args:
        data: the folder.
        images: folder of the images.
        exports: files of labelling tools.

    Raises:
        DataError: several, or no labels at all.
    """
    if (data / "tags.csv").is_file():
        return "tags.csv"
    known = set(ANNOTATIONS.values())
    tables = sorted(path.name for path in data.iterdir() if path.suffix.lower() in (".csv", ".tsv"))
    others = [name for name in tables if name not in known and data / name not in exports]
    if len(others) > 1:
        raise DataError(f"{data}: expected one CSV of tags, found {', '.join(others)}. Call the right one tags.csv.")
    if not others and not exports and not {"boxes.csv", "points.csv"} & set(tables):
        folders = _class_folders(data / images) if images != "." else []
        hint = (
            f" The images lie in {len(folders)} folders ({first_of(folders)}): if these are the classes, "
            f"{classes_remedy(images)} (run in {data})"
            if folders
            else ""
        )
        raise DataError(
            f"{data}: expected a CSV of tags (columns image,tags: '0001.jpg,cat;dog'), boxes.csv, points.csv or an "
            f"export of a labelling tool, found none.{hint}"
        )
    return others[0] if others else None


def _class_folders(images: Path) -> list[str]:
    """Folders of images, where there are no images beside them."""
    paths = [path for path in files_below(images) if _is_image(path)]
    folders = Counter(path.partition("/")[0] for path in paths)
    return sorted(folders) if paths and all("/" in path for path in paths) else []


def layout_notes(data: Path, images: str, masks: str | None, folders: Mapping[str, str]) -> Iterator[str]:
    """Folders that look as if they should have been found; ``folders`` are those of the splits, where they are used."""
    used = {images, masks, ANNOTATIONS["scribbles"], *(PurePosixPath(name).parts[0] for name in folders.values())}
    others = [path for path in sorted(data.iterdir()) if path.is_dir() and path.name not in used]
    others = [path for path in others if not is_unseen(path.name) and _has_images(path)]
    if others:
        names = first_of([f"{path.name}/" for path in others], 5)
        like = [path.name for path in others if path.name.lower() in LIKE_MASKS] if masks is None else []
        hint = f" If {like[0]}/ holds masks, call it {MASKS}/." if like else ""
        taken = first_of([f"{name}/" for name in folders.values() or [images]])
        yield f"Images in {names} are not used: those of {taken} are.{hint}"


def annotated_classes(data: Path) -> list[str]:
    """Class names of boxes.csv and points.csv, sorted.

    Raises:
        DataError: tables without a column of classes, or without classes.
    """
    names: set[str] = set()
    for file in ("boxes.csv", "points.csv"):
        if (data / file).is_file():
            header, rows = read_table(data / file, [])
            names |= _classes(data / file, header, rows)
    if not names - {BACKGROUND_ONLY}:
        raise DataError(f"{data}: expected class names in boxes.csv or points.csv, found none.")
    return sorted(names - {BACKGROUND_ONLY})


def _classes(path: Path, header: Sequence[str], rows: Sequence[TableLine]) -> set[str]:
    keys = {re.sub(r"[\s_-]", "", name).casefold(): name for name in header}
    column = next((keys[name] for name in CLASS_COLUMNS if name in keys), None)
    if column is None:
        raise DataError(f"{path} line 1: expected columns image and class among others, found {first_of(header, 8)}.")
    for row in rows:
        if not row.cells[column]:
            raise DataError(f"{row.where}: expected a class name, or '{BACKGROUND_ONLY}', found an empty cell.")
    return {nfc(row.cells[column]) for row in rows}
