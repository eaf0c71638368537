"""cub: the folder of CUB-200-2011 (Wah et al. 2011), one class and one box an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from models.errors import DataError
from pipeline.datasets.ground_truth import Corners
from pipeline.datasets.lines import Line, by_key, path_problem, read_lines
from pipeline.datasets.listing import Listed, Listing
from stages.prepare import Problem

SPLITS = {1: "train", 0: "test"}
"""What train_test_split.txt says with 1 and 0."""
FIXED_SPLITS = ("train", "test")
"""Those of every data set of this reader; no option names them."""
FILES = ("images", "image_class_labels", "train_test_split", "bounding_boxes")


def cub(root: str, *, upright: bool = False) -> Listing:
    """List CUB-200-2011: images.txt, image_class_labels.txt, train_test_split.txt, bounding_boxes.txt, classes.txt.

    Splits are "train" and "test". Images lie in images/; a class is called as in classes.txt, its number left out.

    Args:
        root: CUB_200_2011 or the folder that holds it; relative to the project root.
        upright: apply EXIF orientation; the boxes are of the stored pixels.

    Raises:
        DataError: no such folder, or a list that is missing.
    """
    folder = _folder(Path(root))
    problems: list[Problem] = []
    twice: list[Problem] = []
    names = _class_names(folder / "classes.txt")
    lists = {name: by_key(read_lines(folder / f"{name}.txt"), twice, "number") for name in FILES}
    _strangers(folder, lists, problems)
    splits: dict[str, list[Listed]] = {name: [] for name in FIXED_SPLITS}
    ids = {number: PurePosixPath(line.rest).stem for number, line in lists["images"].items()}
    problems += [replace(bad, id=ids.get(bad.id, f"number {bad.id}")) for bad in twice]
    for number, line in lists["images"].items():
        if (outside := path_problem(line.rest, line.where)) is not None:
            problems.append(outside)
            continue
        image = _Image(folder, number, PurePosixPath(line.rest), lists, problems)
        item = Listed(
            id=ids[number],
            image=f"images/{image.path}",
            tags=image.tags(len(names)),
            where=line.where,
            boxes=image.boxes(),
        )
        splits[image.split()].append(item)
    values = tuple(range(1, len(names) + 1))
    kept = {name: items for name, items in splits.items() if items}
    return Listing(folder.as_posix(), names, kept, values, len(names), problems, upright=upright)


@dataclass(frozen=True)
class _Image:
    """One image and what the lists say of its number; what they do not say is a problem."""

    folder: Path
    number: str
    path: PurePosixPath
    lists: Mapping[str, Mapping[str, Line]]
    problems: list[Problem]

    def tags(self, classes: int) -> tuple[int, ...] | None:
        line = self.lists["image_class_labels"].get(self.number)
        label = line.number() if line else None
        if label is None or not 1 <= label <= classes:
            self._problem("image_class_labels", f"a class 1..{classes}", line)
            return None
        return (label,)

    def split(self) -> str:
        line = self.lists["train_test_split"].get(self.number)
        value = line.number() if line else None
        if value not in SPLITS:
            self._problem("train_test_split", "1 (training) or 0 (test)", line)
        return SPLITS.get(value if value is not None else 0, "test")

    def boxes(self) -> tuple[Corners, ...] | None:
        line = self.lists["bounding_boxes"].get(self.number)
        numbers = line.numbers(4) if line else None
        if numbers is None:
            self._problem("bounding_boxes", "a box: left, top, width, height", line)
            return None
        left, top, width, height = numbers
        return ((left, top, left + width, top + height),)

    def _problem(self, name: str, expected: str, line: Line | None) -> None:
        where = line.where if line else str(self.folder / f"{name}.txt")
        found = f"'{line.rest}'" if line else f"no line of image {self.number}"
        self.problems.append(Problem(self.path.stem, where, expected, found))


def _folder(root: Path) -> Path:
    for candidate in (root, root / "CUB_200_2011"):
        if (candidate / "images.txt").is_file():
            return candidate
    raise DataError(
        f"{root}: expected the folder of CUB-200-2011 (images.txt, images/, ...) here or in CUB_200_2011, found none. "
        "Point `root` to it."
    )


def _class_names(path: Path) -> tuple[str, ...]:
    """Names in the order of their numbers, which are 1..C."""
    lines = read_lines(path)
    for expected, line in enumerate(lines, start=1):
        if line.key != str(expected) or not line.rest:
            raise DataError(f"{line.where}: expected '{expected} NAME', found '{line.key} {line.rest}'.")
    return tuple(_short(line.rest) for line in lines)


def _short(name: str) -> str:
    """``001.Black_footed_Albatross`` -> ``Black_footed_Albatross``."""
    number, dot, rest = name.partition(".")
    return rest if dot and number.isdigit() and rest else name


def _strangers(folder: Path, lists: Mapping[str, Mapping[str, Line]], problems: list[Problem]) -> None:
    """Lines of numbers that images.txt does not have."""
    for name in FILES[1:]:
        for number, line in lists[name].items():
            if number not in lists["images"]:
                expected = f"a number of {folder / 'images.txt'}"
                problems.append(Problem(f"number {number}", line.where, expected, f"'{number}'"))
