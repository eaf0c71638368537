"""Read an ``instances_*.json`` of COCO once, into images with their annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from models.errors import DataError
from pipeline.compute.bars import progress
from pipeline.datasets.coco_kinds import refuse_other_bytes, refuse_other_kinds
from pipeline.datasets.coco_names import plain_name
from pipeline.datasets.coco_values import key_of, packed, short, whole_number, zero_or_one
from pipeline.datasets.regular import read_regular
from stages.prepare import Problem, report

Key: TypeAlias = int | str
"""An image's number, or the text that a tool has instead."""
LONGEST = 255
"""Characters of a name of a category: longer ones are no names."""


@dataclass(frozen=True, eq=False)
class Instances:
    """The content of a file, images in its order.

    Attributes:
        path: the file.
        categories: id to name, in the order of the ids.
        images: image's number to its entry.
        annotations: image's number to its annotations, in the file's order, with ``id``, ``category_id`` and
            ``iscrowd`` as whole numbers.
        problems: entries that are no images or annotations, and annotations of nothing.
    """

    path: Path
    categories: dict[int, str]
    images: dict[Key, dict[str, Any]]
    annotations: dict[Key, list[dict[str, Any]]]
    problems: list[Problem]


def read_instances(path: Path) -> Instances:
    """Read and sort a file of annotations. Whole numbers may be written as 96.0 or "96".

    Raises:
        DataError: no such file, damaged JSON, or JSON of something else.
    """
    content = load_coco(path)
    annotated = content.get("annotations")
    refuse_other_kinds(path, content)
    categories = _categories(path, content["categories"])
    problems: list[Problem] = []
    images = _images(path, content["images"], problems)
    if images:
        _refuse_strangers(path, annotated or [], images)
    annotations = _annotations(path, annotated or [], images, categories, problems)
    return Instances(path, categories, images, annotations, problems)


def read_images(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The entries of images and categories as they are; a file without annotations (image_info) has them too.

    Raises:
        DataError: no such file, no JSON of that kind, or an entry that is no image or category.
    """
    content = {"annotations": [], **load_coco(path)}
    refuse_other_kinds(path, content)
    _categories(path, content["categories"])
    problems: list[Problem] = []
    _images(path, content["images"], problems)
    if problems:
        raise DataError(report(problems))
    return content["images"], content["categories"]


def load_coco(path: Path) -> dict[str, Any]:
    """The content of a JSON file, which is a mapping.

    Raises:
        DataError: no such file, or no JSON of that kind.
    """
    try:
        for whole_file in progress([path], 1, f"reading {path.name}", unit="file"):  # COCO's own has 450 MB
            data = read_regular(whole_file)
            refuse_other_bytes(path, data)
            text = data.decode(json.detect_encoding(data), "surrogatepass")
            del data  # so that the file is in memory once while it is parsed
            content = json.loads(text, object_hook=packed)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{path}: expected COCO's annotations, found no such file. Set `root` and `splits`, "
            "or `download: true` where there is internet."
        ) from None
    except RecursionError:
        raise DataError(f"{path}: expected COCO's annotations, found JSON that is nested too deeply.") from None
    except (OSError, ValueError) as error:
        found = short(str(error), 200)
        raise DataError(f"{path}: expected COCO's annotations, found damaged JSON ({found}).") from None
    if not isinstance(content, dict):
        refuse_other_kinds(path, content)
    return dict(content)


def _categories(path: Path, listed: Sequence[Any]) -> dict[int, str]:
    names: dict[int, str] = {}
    for place, entry in enumerate(listed):
        id, name = (whole_number(entry.get("id")), entry.get("name")) if isinstance(entry, Mapping) else (None, None)
        name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
        if id is None or not isinstance(name, str) or not name.strip() or len(name) > LONGEST or not _is_text(name):
            raise DataError(
                f"{path}: categories[{place}]: expected a whole number `id` and a `name`, found {short(entry)}."
            )
        if names.setdefault(id, name) != name:
            raise DataError(
                f"{path}: expected each category id once, found id {short(id)} for '{names[id]}' and for '{name}'."
            )
    return dict(sorted(names.items()))


def _images(path: Path, listed: Sequence[Any], problems: list[Problem]) -> dict[Key, dict[str, Any]]:
    images: dict[Key, dict[str, Any]] = {}
    for place, entry in enumerate(listed):
        where = f"{path} images[{place}]"
        key = key_of(entry.get("id")) if isinstance(entry, dict) else None
        if key is None or not _is_file_name(entry.get("file_name")):
            problems.append(Problem(f"images[{place}]", where, "an image with id and file_name", short(entry)))
        elif key in images:
            name = _name(images[key])  # the first of the two: whose the annotations are is not known
            problems.append(Problem(name, where, "each image id once", f"{short(key)} again"))
        else:
            images[key] = entry
    return images


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= 4096 and _is_text(name) and bool(plain_name(name))


def _is_text(name: str) -> bool:
    """Half of a pair of UTF-16 cannot be printed or written."""
    return not any("\ud800" <= mark <= "\udfff" for mark in name)


def _refuse_strangers(path: Path, listed: Sequence[Any], images: Mapping[Key, Any]) -> None:
    """Where not one annotation meets an image, one sentence says it and not one a line."""
    asked = [key_of(entry.get("image_id")) for entry in listed if isinstance(entry, dict)]
    if len(asked) > 1 and not any(key in images for key in asked):
        given = next(entry.get("image_id") for entry in listed if isinstance(entry, dict))
        raise DataError(
            f"{path}: expected annotations of the listed images, found {len(asked)} annotations and not one with the "
            f"id of an image: image_id are such as {short(given)}, ids of images such as {short(next(iter(images)))}."
        )


def _annotations(
    path: Path,
    listed: Sequence[Any],
    images: Mapping[Key, dict[str, Any]],
    categories: Mapping[int, str],
    problems: list[Problem],
) -> dict[Key, list[dict[str, Any]]]:
    by_image: dict[Key, list[dict[str, Any]]] = {}
    for place, entry in enumerate(listed):
        if not isinstance(entry, dict):
            where = f"{path} annotations[{place}]"
            problems.append(Problem(f"annotations[{place}]", where, "an annotation with id", short(entry)))
            continue
        number, category, crowd = (
            key_of(entry.get("image_id")),
            whole_number(entry.get("category_id")),
            zero_or_one(entry),
        )
        where = f"{path} annotation {short(entry.get('id', place))}"
        if number is None or number not in images:
            asked = short(entry.get("image_id"))
            problems.append(Problem(f"image {asked}", where, "an image of the file", f"image_id {asked}"))
        elif category is None or category not in categories:
            asked = short(entry.get("category_id"))
            problems.append(Problem(_name(images[number]), where, "a category of the file", f"category_id {asked}"))
        elif crowd is None:
            asked = short(entry.get("iscrowd"))
            problems.append(Problem(_name(images[number]), where, "iscrowd 0 or 1", f"iscrowd {asked}"))
        else:
            id = whole_number(entry.get("id"))
            entry.update(id=place if id is None else id, category_id=category, iscrowd=crowd)
            by_image.setdefault(number, []).append(entry)
    return by_image


def _name(entry: Mapping[str, Any]) -> str:
    """A problem's image before its file is found: the reader puts its id here."""
    return plain_name(entry["file_name"])
