"""Read an ``instances_*.json`` of COCO once, into images with their annotations."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import DataError
from pipeline.bars import progress
from stages.prepare import Problem

OFFICIAL = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d{12})")


@dataclass(frozen=True, eq=False)
class Instances:
    """The content of a file, images in its order.

    Attributes:
        path: the file.
        categories: id to name, in the order of the ids.
        images: image's number to its entry.
        annotations: image's number to its annotations, in the file's order.
        problems: entries that are no images or annotations, and annotations of nothing.
    """

    path: Path
    categories: dict[int, str]
    images: dict[int, dict[str, Any]]
    annotations: dict[int, list[dict[str, Any]]]
    problems: list[Problem]


def read_instances(path: Path) -> Instances:
    """Read and sort a file of annotations.

    Raises:
        DataError: no such file, damaged JSON, or JSON of something else.
    """
    try:
        for whole in progress([path], 1, f"reading {path.name}", unit="file"):  # COCO's own has 450 MB
            content = json.loads(whole.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{path}: expected COCO's annotations, found no such file. Set `root` and `splits`, "
            "or `download: true` where there is internet."
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected COCO's annotations, found damaged JSON ({error}).") from None
    try:
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        listed, annotated = list(content["images"]), list(content["annotations"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected COCO's annotations (lists images, annotations and categories with id and name), "
            f"found {type(error).__name__}: {error}."
        ) from None
    problems: list[Problem] = []
    images = _images(path, listed, problems)
    annotations = _annotations(path, annotated, images, categories, problems)
    return Instances(path, dict(sorted(categories.items())), images, annotations, problems)


def id_of(file_name: str) -> str:
    """Twelve digits for COCO's own names, the stem for others; a name that leads elsewhere stays, to be refused."""
    path = PurePosixPath(file_name)
    if path.is_absolute() or ".." in path.parts or "\\" in file_name:
        return file_name
    official = OFFICIAL.fullmatch(path.stem)
    return official[1] if official else path.stem


def _images(path: Path, listed: list[Any], problems: list[Problem]) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(listed):
        where = f"{path} images[{place}]"
        if not isinstance(entry, dict) or not _whole(entry.get("id")) or not isinstance(entry.get("file_name"), str):
            problems.append(Problem(f"images[{place}]", where, "an image with id and file_name", str(entry)[:60]))
        elif entry["id"] in images:
            problems.append(Problem(id_of(entry["file_name"]), where, "each image id once", f"{entry['id']} again"))
        else:
            images[entry["id"]] = entry
    return images


def _annotations(
    path: Path, listed: list[Any], images: dict[int, Any], categories: dict[int, str], problems: list[Problem]
) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for place, entry in enumerate(listed):
        if not isinstance(entry, dict) or not _whole(entry.get("id", 0)):
            where = f"{path} annotations[{place}]"
            problems.append(Problem(f"annotations[{place}]", where, "an annotation with id", str(entry)[:60]))
            continue
        number, category = entry.get("image_id"), entry.get("category_id")
        where = f"{path} annotation {entry.get('id', place)}"
        if not _whole(number) or number not in images:
            problems.append(Problem(f"image {number}", where, "an image of the file", f"image_id {number}"))
        elif not _whole(category) or category not in categories:
            id = id_of(images[number]["file_name"])
            problems.append(Problem(id, where, "a category of the file", f"category_id {category}"))
        else:
            found.setdefault(number, []).append(entry)
    return found


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
