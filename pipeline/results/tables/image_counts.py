"""What evaluate stages wrote about each image: images.csv, read and checked."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DataError
from models.metrics.confusion import Counts

FILE = "images.csv"
COLUMNS = ("image", "label", "truth", "predicted", "right")


@dataclass(frozen=True)
class CountedImages:
    """The counts of one evaluation: a row (image, label) -> pixels in the truth, predicted, right."""

    ids: tuple[str, ...]
    labels: frozenset[str]
    images: Counts
    label_names: tuple[str, ...]
    pixels: Counts

    def table(self, labels: Sequence[str]) -> Counts:
        """The counts as int64 [N,L,3] over the given labels, which have to hold all of these; 0 where none is."""
        place = {label: index for index, label in enumerate(labels)}
        filled = np.zeros((len(self.ids), len(labels), 3), np.int64)
        filled[self.images, [place[name] for name in self.label_names]] = self.pixels
        return filled


def read_images(path: Path) -> CountedImages | None:
    """The images.csv of an ``evaluate`` stage; None where there is none: the evaluation is older than such files.

    Raises:
        DataError: it is not what the stage writes.
    """
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise _error(path, f"the columns {', '.join(COLUMNS)}", lines[0] if lines else "nothing")
    place: dict[str, int] = {}
    images, labels, pixels = [], [], []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(COLUMNS) or not all(count.isdecimal() for count in line[2:]):
            raise _error(path, f"an image, a label and three counts in line {number}", line)
        images.append(place.setdefault(line[0], len(place)))
        labels.append(line[1])
        pixels.append([int(count) for count in line[2:]])
    counts = np.array(pixels, np.int64).reshape(-1, 3)
    return CountedImages(tuple(place), frozenset(labels), np.array(images, np.int64), tuple(labels), counts)


def _error(path: Path, expected: str, found: object) -> DataError:
    return DataError(f"{path}: expected {expected}, found {found!r:.80}. Remedy: run its evaluate stage again.")
