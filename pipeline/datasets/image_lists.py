"""Lists of images with one class and any number of boxes, as wsolevaluation publishes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from models.errors import DataError
from pipeline.datasets.ground_truth import Corners
from pipeline.datasets.lines import Line, by_key, path_problem, read_lines
from pipeline.datasets.listing import Listed
from stages.prepare import Problem

IDS, LABELS, BOXES, SIZES = "image_ids.txt", "class_labels.txt", "localization.txt", "image_sizes.txt"


def listed_in(
    folder: Path, splits: Mapping[str, str], problems: list[Problem]
) -> tuple[list[str], dict[str, list[Listed]]]:
    """Class names and the images of each split, with paths as the lists have them, also in place of ids.

    A class is called like the folder of its images, where that is one folder for each class in some split; else
    ``class_0``, ``class_1``, ...

    Args:
        folder: holds a folder of lists for each split.
        splits: split name to folder name.
        problems: what is wrong with the lists is added here.

    Raises:
        DataError: image_ids.txt or class_labels.txt is missing.
    """
    lists = {split: _Lists.read(folder / name, problems) for split, name in splits.items()}
    labels = [line.number() for each in lists.values() for line in each.labels.values()]
    count = 1 + max((label for label in labels if label is not None), default=-1)
    listed = {split: each.images(problems) for split, each in lists.items()}
    named = (_folder_names(items, count) for items in listed.values())
    names = next((names_of_one for names_of_one in named if names_of_one), [f"class_{k}" for k in range(count)])
    return names, listed


@dataclass(frozen=True)
class _Lists:
    """The lists of one split, by image path."""

    folder: Path
    ids: list[Line]
    labels: dict[str, Line]
    sizes: dict[str, Line]
    boxes: dict[str, list[Line]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, problems: list[Problem]) -> _Lists:
        if not folder.is_dir():
            raise DataError(f"{folder}: expected a folder with {IDS} and {LABELS}, found none. Set `metadata`.")
        optional = {name: read_lines(folder / name, ",") for name in (BOXES, SIZES) if (folder / name).is_file()}
        boxes: dict[str, list[Line]] = {}
        for line in optional.get(BOXES, []):
            boxes.setdefault(line.key, []).append(line)
        labels = by_key(read_lines(folder / LABELS, ","), problems, "image")
        sizes = by_key(optional.get(SIZES, []), problems, "image")
        return cls(folder, read_lines(folder / IDS, "\n"), labels, sizes, boxes)

    def images(self, problems: list[Problem]) -> list[Listed]:
        items = []
        for line in self.ids:
            if (outside := path_problem(line.key, line.where)) is not None:
                problems.append(outside)
                continue
            label = self.labels.get(line.key)
            number = label.number() if label else None
            if number is None:
                where, found = (label.where, f"'{label.rest}'") if label else (str(self.folder / LABELS), "no line")
                problems.append(Problem(line.key, where, f"a class number from 0 for {line.key}", found))
            tags = None if number is None else (number + 1,)
            boxes, size = self._boxes(line.key, problems), self._size(line.key, problems)
            items.append(Listed(line.key, line.key, tags=tags, where=line.where, boxes=boxes, size=size))
        return items

    def _boxes(self, path: str, problems: list[Problem]) -> tuple[Corners, ...] | None:
        if not self.boxes:
            return None
        if path not in self.boxes:
            problems.append(Problem(path, str(self.folder / BOXES), f"a box of {path}", "no line"))
        corners: list[Corners] = []
        for line in self.boxes.get(path, []):
            numbers = line.numbers(4, ",")
            if numbers is None:
                problems.append(Problem(path, line.where, "path,x0,y0,x1,y1", f"'{line.rest}'"))
            else:
                corners.append((numbers[0], numbers[1], numbers[2], numbers[3]))
        return tuple(corners) or None

    def _size(self, path: str, problems: list[Problem]) -> tuple[int, int] | None:
        line = self.sizes.get(path)
        if line is None:
            return None
        numbers = line.numbers(2, ",")
        if numbers is None:
            problems.append(Problem(path, line.where, "path,width,height", f"'{line.rest}'"))
            return None
        return int(numbers[1]), int(numbers[0])


def _folder_names(items: list[Listed], count: int) -> list[str]:
    """The folder of each class, in order; empty where classes share one, have several or none."""
    folders: dict[int, set[str]] = {}
    for item in items:
        if item.tags is not None:
            folders.setdefault(item.tags[0], set()).add(PurePosixPath(item.image).parent.name)
    names = [next(iter(folders[k])) for k in range(1, count + 1) if len(folders.get(k, ())) == 1]
    return names if len(set(names)) == count and all(names) else []
