"""YOLO's text files: a class number and shares of the image in each line; the names are in data.yaml or classes.txt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pipeline.annotations.tools.drawn import DrawnImage, Export, Shape
from pipeline.annotations.tools.values import number, pairs
from pipeline.datasets.tables import clipped

BEYOND = 0.01
"""Shares that numbers may lie beyond the image: they are rounded."""
TURNED_BEYOND = 0.5
"""The same of the corners of a turned box, which may stick out."""
CORNERS = 4
Form: TypeAlias = Literal["shapes", "pose", "turned"]


def is_yolo(lines: Sequence[str]) -> bool:
    """Whether these lines are numbers, at least five in each."""
    words = [line.split() for line in lines if line.strip()]
    return bool(words) and all(len(line) >= 5 and all(map(_is_number, line)) for line in words)


def add(export: Export, path: Path, lines: Sequence[str], names: Sequence[str], form: Form = "shapes") -> None:
    """Add the image of a file: five numbers are a box (middle, width, height), more an outline.

    Args:
        export: is added to.
        path: of the file, which is called like its image.
        lines: of it; none says that the image has no object.
        names: of the classes; none where no file says them, so that shapes are called "0", "1", ...
        form: "pose": each line is a box, and keypoints stand behind it; "turned": of a box with four corners.
    """
    beside = Path(*("images" if part == "labels" else part for part in path.parent.parts), path.stem)
    image = DrawnImage(beside.as_posix(), str(path), also=path.stem, empty=not any(map(str.strip, lines)))
    export.images.append(image)
    for place, line in enumerate(lines, start=1):
        if words := line.split()[: 5 if form == "pose" else None]:
            try:
                image.shapes += _shapes(words, names, f"{path} line {place}", form)
            except ValueError as error:
                export.problems.append(f"{path} line {place}: expected a line of YOLO's labels, found {error}")


def _shapes(words: Sequence[str], names: Sequence[str], where: str, form: Form) -> Iterator[Shape]:
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
    if len(words) % 2 == 0:
        raise ValueError(f"{len(words)} numbers. Remedy: of poses, write `kpt_shape` into data.yaml")
    outline = pairs(words[1:], 3)
    is_box = form == "turned" and len(outline) == CORNERS
    _check(outline.reshape(-1).tolist(), TURNED_BEYOND if is_box else BEYOND)
    return iter([Shape("box" if is_box else "area", name, where, outline, shares=True)])


def _check(values: Sequence[float], beyond: float = BEYOND) -> None:
    if min(values) < -beyond or max(values) > 1 + beyond:
        raise ValueError(f"{min(values):g} to {max(values):g}, which are no shares (0..1) of the image")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
