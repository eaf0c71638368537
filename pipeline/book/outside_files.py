"""Files that a data set's options name and that lie outside of its ``root``, where DVC watches it.

What they hold counts like the code of ``prepare``: their hashes stand in its fingerprint, which DVC watches. DVC runs
the stage ``code`` that writes it when source or params.yaml change; ``run`` and ``flow`` also when one of these does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.book.artifacts import code_fingerprint
from pipeline.book.entries import PrepareEntry
from pipeline.book.params import Book

FILE_OPTIONS: dict[str, tuple[str, ...]] = {
    "voc": ("splits", "labels", "labelmap"),
    "coco": ("lists",),
    "folder": ("labelmap",),
}
"""Reader -> its options that name a file, or a file for each split, relative to the project root."""
IN_ROOT_FIRST = ("labelmap",)
"""Options whose file is looked for in ``root`` before."""


def outside_lines(book: Book, verb: str, name: str) -> list[str]:
    """The path and the sha256 of each such file of an entry; none where it names none."""
    if verb != "prepare":
        return []
    paths = dict.fromkeys(_outside(book.prepare[name]))
    return [f"{path.as_posix()} {digest}" for path in paths if (digest := _sha256(path)) is not None]


def changed_outside(book: Book) -> bool:
    """Whether such a file is another one than the fingerprints were written with."""
    return any(outside_lines(book, "prepare", name) != _written(book, name) for name in book.prepare)


def _written(book: Book, name: str) -> list[str]:
    file = code_fingerprint(book.book.work, "prepare", name)
    return outside_of(file.read_text(encoding="utf-8")) if file.is_file() else []


def outside_of(fingerprint: str) -> list[str]:
    """The lines of such files in the content of a fingerprint's file."""
    return fingerprint.splitlines()[1:]


def _outside(entry: PrepareEntry) -> Iterator[Path]:
    root = Path(entry.root).absolute()
    for option in FILE_OPTIONS.get(entry.reader, ()):
        for named in _texts(entry.options.get(option)):
            if option == "splits" and not named.endswith(".txt"):  # a list of the data set's own
                continue
            if option in IN_ROOT_FIRST and (root / named).is_file():
                continue
            if not Path(named).absolute().is_relative_to(root):
                yield Path(named)


def _texts(value: Any) -> list[str]:
    values = value.values() if isinstance(value, dict) else [value]
    return [each for each in values if isinstance(each, str)]


def _sha256(path: Path) -> str | None:
    """None where there is no file: ``prepare`` says so."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
