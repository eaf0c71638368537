"""Text files with one record a line, as data sets publish their lists; messages name the line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.datasets.tables import read_text
from stages.prepare import Problem


@dataclass(frozen=True)
class Line:
    """A line of a list: its place ("images.txt line 7"), its key, and the numbers behind it."""

    where: str
    key: str
    rest: str

    def numbers(self, count: int, separator: str | None = None) -> tuple[float, ...] | None:
        """``count`` numbers, or None where the line holds something else."""
        try:
            values = tuple(float(word) for word in self.rest.split(separator))
        except ValueError:
            return None
        return values if len(values) == count and all(abs(value) < float("inf") for value in values) else None

    def number(self) -> int | None:
        """One whole number, or None."""
        word = self.rest.strip()
        return int(word) if word.isascii() and word.isdigit() else None


def read_lines(path: Path, separator: str | None = None) -> list[Line]:
    """The lines of a list, each cut behind its first word; empty ones are passed over.

    Args:
        path: UTF-8 text.
        separator: between key and rest; None for blanks.

    Raises:
        DataError: no such file, a file of another kind, or no UTF-8.
    """
    text = read_text(path, "a list with one record a line")
    lines = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if line.strip():
            key, *rest = line.strip().split(separator, 1)
            lines.append(Line(f"{path} line {number}", key.strip(), rest[0].strip() if rest else ""))
    return lines


def by_key(lines: Sequence[Line], problems: list[Problem], name: str = "key") -> dict[str, Line]:
    """Lines by their key; a key that stands twice is a problem."""
    keyed: dict[str, Line] = {}
    for line in lines:
        if line.key in keyed:
            problems.append(Problem(line.key, line.where, f"each {name} once", f"'{line.key}' again"))
        keyed.setdefault(line.key, line)
    return keyed


def path_problem(path: str, where: str) -> Problem | None:
    """A path of a list leads down from the folder of images; one that leads elsewhere is not followed."""
    plain = PurePosixPath(path)
    if not plain.is_absolute() and ".." not in plain.parts:
        return None
    return Problem(path, where, "a path below the folder of images, without '..'", f"'{path}'")
