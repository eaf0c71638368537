"""What evaluate stages wrote about each image: images.csv, read and checked."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DataError
from models.metrics.confusion import Counts
from models.metrics.image_counts import BOXES, COLUMNS, PIXELS

FILE = "images.csv"
KEYS = ("image", "label")


@dataclass(frozen=True)
class CountedImages:
    """The counts of one evaluation: a row (image, label) -> one count for each column."""

    ids: tuple[str, ...]
    labels: frozenset[str]
    columns: tuple[str, ...]
    images: Counts
    label_names: tuple[str, ...]
    counts: Counts

    def table(self, labels: Sequence[str], columns: Sequence[str]) -> Counts:
        """The counts int64 [N,L,K] of some labels and columns; 0 where an image has no row of a label."""
        place = {label: index for index, label in enumerate(labels)}
        kept = np.array([name in place for name in self.label_names], np.bool_)
        filled = np.zeros((len(self.ids), len(labels), len(columns)), np.int64)
        rows = [place[name] for name in self.label_names if name in place]
        filled[self.images[kept], rows] = self.counts[kept][:, [self.columns.index(name) for name in columns]]
        return filled


def read_images(path: Path) -> CountedImages | None:
    """The images.csv of an ``evaluate`` or ``evaluate_boxes`` stage; None where there is none: it is older than them.

    Files from before boundaries were counted have the columns of pixels alone.

    Raises:
        DataError: it is not what the stage writes.
    """
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    header = tuple(lines[0]) if lines else ()
    columns = header[len(KEYS) :]
    if header[: len(KEYS)] != KEYS or columns not in (COLUMNS, PIXELS, BOXES):
        raise _error(path, f"the columns {', '.join((*KEYS, *COLUMNS))}", list(header) or "nothing")
    place: dict[str, int] = {}
    images, labels, counts = [], [], []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header) or not all(count.isdecimal() for count in line[2:]):
            raise _error(path, f"an image, a label and {len(columns)} counts in line {number}", line)
        images.append(place.setdefault(line[0], len(place)))
        labels.append(line[1])
        counts.append([int(count) for count in line[2:]])
    filled = np.array(counts, np.int64).reshape(-1, len(columns))
    return CountedImages(tuple(place), frozenset(labels), columns, np.array(images, np.int64), tuple(labels), filled)


def _error(path: Path, expected: str, found: object) -> DataError:
    return DataError(f"{path}: expected {expected}, found {found!r:.80}. Remedy: run its evaluate stage again.")
