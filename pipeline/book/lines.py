"""Messages about a book name the line of the key: in book.yaml, where that is what a person edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.book.agreement import SOURCE, agreeing
from pipeline.book.expansion import Expansion
from pipeline.book.yaml_text import compose_yaml, line

_Key = tuple[str, ...]


def located(file: Path | None, problems: Sequence[str], expansion: Expansion | None = None) -> list[str]:
    """Problems that begin with a key of the book (``train.cam.settings.lr: ...``), each after the line of that key.

    A key that does not stand there has the line of the nearest one above it; with no file, or no YAML in it, the
    problems stay as they are. What a line of book.yaml does wrong in several entries is said once.

    Args:
        file: the book's params.yaml.
        expansion: what params.yaml is to say; None: what a book.yaml beside it says, if the two agree.
    """
    where, name = _finder(file, expansion)
    lines: list[str] = []
    first: dict[tuple[int, str], int] = {}
    more: Counter[int] = Counter()
    for problem in problems:
        text = problem.lstrip()
        key, _, about = text.partition(":")
        number = where(tuple(key.split(".")))
        if name and number is not None and (number, about) in first:
            more[first[number, about]] += 1
            continue
        if number is not None:
            first[number, about] = len(lines)
        lines.append(f"{problem[: -len(text)]}{name}line {number}: {text}" if number else problem)
    return [f"{text} ({more[n]} more from this line)" if more[n] else text for n, text in enumerate(lines)]


def with_line(file: Path, key: str) -> str:
    """The path and the line of a key: ``recipes/x/params.yaml line 41``, or of the book.yaml behind it."""
    where, name = _finder(file, None)
    number = where(tuple(key.split(".")))
    path = (file.with_name(SOURCE) if name else file).as_posix()
    return f"{path} line {number}" if number else path


def places_of(file: Path | None, keys: Sequence[str]) -> dict[str, str]:
    """File name and line of each key that stands in the book: ``book.yaml line 41``; the files are read once."""
    where, name = _finder(file, None)
    name = name or (f"{file.name} " if file else "")
    return {key: f"{name}line {number}" for key in keys if (number := where(tuple(key.split(".")))) is not None}


def _finder(file: Path | None, expansion: Expansion | None) -> tuple[Callable[[_Key], int | None], str]:
    """What gives the line of a key, and the name of the file before it; "" for the params.yaml."""
    expansion = expansion or (agreeing(file) if file else None)
    if expansion is not None:
        return expansion.line, f"{SOURCE} "
    try:
        root = compose_yaml(file.read_text(encoding="utf-8")) if file else None
    except (OSError, UnicodeDecodeError):
        root = None
    return (lambda key: line(root, key)), ""
