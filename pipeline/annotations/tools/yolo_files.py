"""Which files are YOLO's labels, what their classes are called, and which kind of line they have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.errors import DataError
from pipeline.annotations.tools.drawn import Export
from pipeline.annotations.tools.yolo import CORNERS, Form, is_yolo
from pipeline.datasets.tables import clipped, read_text

NAME_LISTS = ("classes.txt", "obj.names", "labels.txt", "predefined_classes.txt", "_darknet.labels")
SETTINGS = (".yaml", ".yml")
TASKS: Mapping[str, Form] = {"obb": "turned", "segment": "shapes", "detect": "shapes", "pose": "pose"}
"""Ultralytics' name of a task -> what the lines of its labels are."""
STRAY = 0.003
"""Share of the side that a corner of a box may stray, when it was rounded to a pixel."""


class _Plain(yaml.SafeLoader):
    """Reads no aliases: lists of lists of aliases, or mappings merged again and again, make a small file a huge one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def labels_among(texts: Mapping[Path, Sequence[str]]) -> dict[Path, Sequence[str]]:
    """Files of numbers, with their lines, and the empty ones beside them."""
    labels = {file: lines for file, lines in texts.items() if is_yolo(lines)}
    folders = {file.parent for file in labels}
    return labels | {f: lines for f, lines in texts.items() if f.parent in folders and not any(lines)}


def beside(folder: Path) -> Iterator[Path]:
    """Where names may lie if a folder of labels alone is named: in it and above it."""
    for above in (folder, folder.parent, folder.parent.parent):
        yield from (file for pattern in ("*.yaml", "*.yml", "*.txt", "*.names") for file in sorted(above.glob(pattern)))


def names_in(export: Export, files: Sequence[Path]) -> list[str]:
    """Names of the classes: of the first file that has them; what is wrong with it is a problem of the export."""
    try:
        for file in files:
            if file.suffix.lower() in SETTINGS and (names := names_of_yaml(file)):
                return names
        for file in files:
            if file.name.lower() in NAME_LISTS and (names := names_of_list(file)):
                return names
    except (ValueError, DataError) as error:
        export.problems.append(str(error))
    return []


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
            found = clipped(repr(sorted(by_number)))
            raise ValueError(f"{path}: expected `names` for 0, 1, 2, ..., found {found}. Remedy: count from 0.")
        return [by_number[key] for key in sorted(by_number)]
    return [str(name).strip() for name in names] if isinstance(names, list) else None


def stated_form(files: Iterable[Path]) -> Form | None:
    """What the lines are by a YAML: with `kpt_shape` they are poses, and one may say the `task` as Ultralytics does."""
    for content in (_yaml(path) for path in files if path.suffix.lower() in SETTINGS):
        if "kpt_shape" in content:
            return "pose"
        if (task := str(content.get("task"))) in TASKS:
            return TASKS[task]
    return None


def likely_form(labels: Iterable[Sequence[str]]) -> Form:
    """What the lines of all files look like: turned boxes where each is a parallelogram by its four corners.

    People's outlines are none; those of boxes are, also of upright ones, and are better taken as what was drawn.
    """
    corners = [line.split()[1:] for lines in labels for line in lines if line.strip()]
    return "turned" if corners and all(map(_is_parallelogram, corners)) else "shapes"


def note_assumed(export: Export, form: Form) -> None:
    """Say what was assumed about the lines."""
    count = export.counts().get("box", 0)
    if form == "turned" and count:
        export.assumed.append(
            f"each of the {count} lines has four corners of a parallelogram: they are taken as oriented boxes, and not "
            "as outlines. If they are outlines, write `task: segment` into data.yaml; if not, `task: obb`."
        )


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        content: Any = yaml.load(read_text(path, "a YAML file"), _Plain)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError, DataError):
        return {}
    return content if isinstance(content, Mapping) else {}


def _is_parallelogram(words: Sequence[str]) -> bool:
    """Whether eight shares are corners whose diagonals have one middle: then they are, whatever the image's sides."""
    if len(words) != 2 * CORNERS:
        return False
    x1, y1, x2, y2, x3, y3, x4, y4 = map(float, words)
    return max(abs(x1 + x3 - x2 - x4), abs(y1 + y3 - y2 - y4)) <= STRAY


def names_of_list(path: Path) -> list[str]:
    """Names of a text file, one in a line."""
    return [line.strip() for line in read_text(path, "a class name in each line").splitlines() if line.strip()]
