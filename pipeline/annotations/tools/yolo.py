"""YOLO's text files: a class number and shares of the image in each line; the names are in data.yaml or classes.txt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.errors import DataError
from pipeline.annotations.tools.drawn import DrawnImage, Export, Shape
from pipeline.annotations.tools.values import number, pairs
from pipeline.datasets.tables import clipped, read_text

NAME_LISTS = ("classes.txt", "obj.names", "labels.txt", "predefined_classes.txt", "_darknet.labels")
BEYOND = 0.01
"""Shares that numbers may lie beyond the image: they are rounded."""


class _Plain(yaml.SafeLoader):
    """Reads no aliases: lists of lists of aliases, or mappings merged again and again, make a small file a huge one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def names_of_yaml(path: Path) -> list[str] | None:
    """``names`` of a data.yaml: a list, or a mapping of numbers; None where it has none.

    Raises:
        ValueError: names that are no such thing.
    """
    try:
        content: Any = yaml.load(read_text(path, "a YAML file with `names`"), _Plain)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    names = content.get("names") if isinstance(content, Mapping) else None
    if isinstance(names, Mapping):
        try:
            by_number = {int(key): str(name).strip() for key, name in names.items()}
        except (TypeError, ValueError):
            raise ValueError(f"{path}: expected `names` by number, found {clipped(repr(names))}") from None
        if sorted(by_number) != list(range(len(by_number))):
            raise ValueError(f"{path}: expected `names` for 0, 1, 2, ..., found {clipped(repr(sorted(by_number)))}")
        return [by_number[key] for key in sorted(by_number)]
    return [str(name).strip() for name in names] if isinstance(names, list) else None


def has_keypoints(path: Path) -> bool:
    """Whether a data.yaml is of a data set for poses, whose lines have keypoints behind their box."""
    try:
        content: Any = yaml.load(read_text(path, "a YAML file"), _Plain)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError, DataError):
        return False
    return isinstance(content, Mapping) and "kpt_shape" in content


def names_of_list(path: Path) -> list[str]:
    """Names of a text file, one in a line."""
    return [line.strip() for line in read_text(path, "a class name in each line").splitlines() if line.strip()]


def is_yolo(lines: Sequence[str]) -> bool:
    """Whether these lines are numbers, at least five in each."""
    words = [line.split() for line in lines if line.strip()]
    return bool(words) and all(len(line) >= 5 and all(map(_is_number, line)) for line in words)


def add(export: Export, path: Path, lines: Sequence[str], names: Sequence[str], boxes: bool = False) -> None:
    """Add the image of a file: five numbers are a box (middle, width, height), more an outline.

    Args:
        export: is added to.
        path: of the file, which is called like its image.
        lines: of it; none says that the image has no object.
        names: of the classes; none where no file says them, so that shapes are called "0", "1", ...
        boxes: each line is a box, whatever stands behind it.
    """
    beside = "/".join("images" if part == "labels" else part for part in (*path.parent.parts, path.stem))
    image = DrawnImage(beside, str(path), also=path.stem, empty=not any(map(str.strip, lines)))
    export.images.append(image)
    for place, line in enumerate(lines, start=1):
        if words := line.split()[: 5 if boxes else None]:
            try:
                image.shapes += _shapes(words, names, f"{path} line {place}")
            except ValueError as error:
                export.problems.append(f"{path} line {place}: expected a line of YOLO's labels, found {error}")


def _shapes(words: Sequence[str], names: Sequence[str], where: str) -> Iterator[Shape]:
    class_ = number(words[0])
    if class_ < 0 or class_ != int(class_) or (names and class_ >= len(names)):
        known = f", where 0 to {len(names) - 1} have a name" if names else ""
        raise ValueError(f"class {clipped(words[0], 20)}{known}")
    name = names[int(class_)] if names else str(int(class_))
    if len(words) in (5, 6):  # the sixth number is the confidence of a detection
        x, y, width, height = map(number, words[1:5])
        _check([x, y, width, height])
        if width <= 0 or height <= 0:
            raise ValueError(f"a box of width {width:g} and height {height:g}")
        half = (width / 2, height / 2)
        outline = pairs([x - half[0], y - half[1], x + half[0], y + half[1]], 2)
        return iter([Shape("box", name, where, outline, shares=True)])
    outline = pairs(words[1:], 3)
    _check(outline.reshape(-1).tolist())
    return iter([Shape("area", name, where, outline, shares=True)])


def _check(values: Sequence[float]) -> None:
    if min(values) < -BEYOND or max(values) > 1 + BEYOND:
        raise ValueError(f"{min(values):g} to {max(values):g}, which are no shares (0..1) of the image")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
