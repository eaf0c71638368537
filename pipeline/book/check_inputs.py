"""Files and folders that a book reads from outside: whether they are there, and how to provide them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigurationError, closest
from pipeline.book.check_graph import label_files, region_folders
from pipeline.book.lineage import Node, ancestors
from pipeline.book.lines import located
from pipeline.book.params import Book


def check_files(book: Book, targets: Sequence[str] | None = None) -> None:
    """Every file and folder that the book reads from outside must be there.

    Args:
        targets: stages for which it reads them (``evaluate@cam``); none of them: the book's own; None: all of the book.

    Raises:
        ConfigurationError: names each missing path, the key that asks for it, and how to provide it.
    """
    missing = missing_files(book, targets)
    if missing:
        raise ConfigurationError(f"{book.book.params} needs input that is not there\n" + "\n".join(missing))


def missing_files(book: Book, targets: Sequence[str] | None = None) -> list[str]:
    """A line for each file and folder that :func:`check_files` misses."""
    named = targets if targets is None else list(targets) or book.book.targets
    wanted = _wanted(book, named) if named else None
    paths = [*label_files(book), *region_folders(book)]
    imports = [(verb, "file") for verb in ("import_annotations", "import_weights", "import_proposals")]
    for verb, key in (("prepare", "root"), *imports):
        paths += [(f"{verb}.{name}.{key}", getattr(entry, key)) for name, entry in getattr(book, verb).items()]
    missing = [
        f"  {key}: {path} does not exist.{_remedy(book, path)}"
        for key, path in paths
        if not Path(path).exists() and (wanted is None or tuple(key.split(".")[:2]) in wanted)
    ]
    return located(book.file, missing)


def _wanted(book: Book, targets: Sequence[str]) -> set[Node]:
    """The entries that the targets stand on; targets that are no entry are left to others."""
    named = [target.partition("@") for target in targets]
    known = [(verb, name) for verb, _, name in named if name and name in getattr(book, verb, {})]
    return {node for verb, name in known for node in ancestors(book, verb, name)}


def _remedy(book: Book, path: str) -> str:
    for source, variable in book.book.sources.items():
        if path == source or path.startswith(source + "/"):
            inside = path.removeprefix(source).strip("/")
            if inside and (target := os.environ.get(variable)):
                return (
                    f" {variable}={target} holds no {inside}. Put it there, or set {variable} to a folder that has it."
                )
            return (
                f" Link {'the folder that holds ' + inside if inside else 'it'}: "
                f"`python -m pipeline link {source} /where/it/is`, "
                f"or set {variable}=/where/it/is and use `python -m pipeline run`."
            )
    return ""


def check_targets(book: Book, targets: Sequence[str]) -> None:
    """Whether every target is a stage of the book.

    Raises:
        ConfigurationError: one is not; the message has the closest one.
    """
    stages = ["code", *(f"{verb}@{name}" for verb, name in book.entries())]
    for target in targets:
        if target not in stages:
            raise ConfigurationError(f"{book.book.params} has no stage '{target}'.{closest(target, stages)}")
