"""The other books of a project: no two may write to the same place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from models.errors import ConfigurationError
from pipeline.book.graph_file import books
from pipeline.book.yaml_text import parse_yaml

if TYPE_CHECKING:
    from pipeline.book.params import Book


def check_work(book: Book) -> None:
    """Whether the book's ``work:`` is its own: two books with one would take each other's artefacts for theirs.

    Looks at the book in the project's root, those below ``recipes/``, and those beside this one.

    Raises:
        ConfigurationError: another book has it too; names both.
    """
    for other in sorted(_shared(book)):
        raise ConfigurationError(
            f"{book.book.params} and {other.as_posix()} have the same folder under `work:`, {book.book.work}: each "
            "would overwrite what the other one makes. Remedy: give one of them a folder of its own, such as "
            f"`work: work/{Path(book.book.path).resolve().name}-2`."
        )


def _shared(book: Book) -> Iterator[Path]:
    here = Path(book.book.path)
    places = {Path(), *books(), *(file.parent for file in here.parent.glob("*/params.yaml"))}
    others = {folder.resolve(): folder for folder in places if folder.resolve() != here.resolve()}
    mine = Path(book.book.work).resolve()
    for folder in others.values():
        work = _work(folder / "params.yaml", mine.name)
        if work is not None and work.resolve() == mine:
            yield Path(os.path.normpath(folder / "params.yaml"))


def _work(params: Path, name: str) -> Path | None:
    """The ``work:`` of a book whose text has ``name``, as one with the same folder must; books are long to parse."""
    try:
        text = params.read_text(encoding="utf-8")
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
            return None
        return Path(parse_yaml(text)["book"]["work"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):  # no book: whoever runs it is told
        return None
