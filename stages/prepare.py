"""prepare: which images of a data set are good, and what to say about the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.errors import DataError

OnBadImage = Literal["stop", "skip"]
LISTED_AT_MOST = 20
CHARACTERS_AT_MOST, LISTED_AT_LEAST = 3000, 3
"""So that the message fits one screen, also where its lines are long."""
FORBIDDEN = "/\\\0\n\r\t"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one image: ``path`` is the file, or the line of the list that names it."""

    id: str
    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found}"


def id_problem(id: str, path: str) -> Problem | None:
    """An id becomes a file name: no folders, no way out of the folder, no invisible characters."""
    if id and id != "." and ".." not in id and not any(mark in id for mark in FORBIDDEN):
        return None
    return Problem(id, path, "an id without path separators or '..'", f"'{id}'")


def duplicate_problems(split: str, named: Sequence[tuple[str, str]]) -> list[Problem]:
    """Ids that stand twice in one split. ``named`` holds (id, where it is named)."""
    counts = Counter(id for id, _ in named)
    first: set[str] = set()
    problems = []
    for id, where in named:
        if counts[id] > 1 and id in first:
            problems.append(Problem(id, where, f"each id once in split '{split}'", f"'{id}' {counts[id]} times"))
        first.add(id)
    return problems


def prepare(
    splits: Mapping[str, Sequence[str]], problems: Iterable[Problem], on_bad_image: OnBadImage = "stop"
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Take the bad images out of the splits, or stop.

    Args:
        splits: split name to ids, in order.
        problems: everything found, of any image.
        on_bad_image: "stop" reports all problems and ends; "skip" leaves the images out.

    Returns:
        The splits without bad images, and id -> reason for what was left out, in the order of the ids.

    Raises:
        DataError: there are problems and ``on_bad_image`` is "stop"; or no image is left in some split.
    """
    all_problems = list(problems)
    if all_problems and on_bad_image == "stop":
        raise DataError(
            report(all_problems) + "\nRepair or remove them, or set `on_bad_image: skip` to go on without these images."
        )
    reasons: dict[str, list[str]] = {}
    for problem in all_problems:
        reasons.setdefault(problem.id, []).append(str(problem))
    kept = {name: tuple(dict.fromkeys(id for id in ids if id not in reasons)) for name, ids in splits.items()}
    empty = [name for name, ids in kept.items() if not ids]
    if empty or not kept:
        raise DataError(
            f"No good image is left in split {', '.join(empty) or '(none)'}.\n{report(all_problems)}".rstrip()
        )
    return kept, {id: "; ".join(reasons[id]) for id in sorted(reasons)}


def report(problems: Sequence[Problem], limit: int = LISTED_AT_MOST) -> str:
    """One screen: how many images, the first problems, and how many more."""
    if not problems:
        return ""
    images = len({problem.id for problem in problems})
    head = f"{len(problems)} problem{'s' * (len(problems) > 1)} with {images} image{'s' * (images > 1)}:"
    lines = [f"  {problem}" for problem in problems[:limit]]
    while len(lines) > LISTED_AT_LEAST and sum(map(len, lines)) > CHARACTERS_AT_MOST:
        lines.pop()
    more = [f"  ... and {len(problems) - len(lines)} more"] if len(problems) > len(lines) else []
    return "\n".join([head, *lines, *more])
