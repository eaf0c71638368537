"""Which entry of a book a name means."""

from __future__ import annotations

from models.errors import ConfigurationError, closest
from pipeline.book.lineage import Node
from pipeline.book.params import Book


def named_entry(book: Book, name: str) -> Node:
    """The entry that ``VERB@NAME`` means, or a bare ``NAME`` that stands under one verb only.

    Raises:
        ConfigurationError: no such entry (the message has the closest one), or several of that name (it lists them).
    """
    stages = {f"{verb}@{entry}": (verb, entry) for verb, entry in book.entries()}
    if name in stages:
        return stages[name]
    if "@" in name:
        raise ConfigurationError(f"{book.book.params} has no stage '{name}'.{closest(name, stages)}")
    alike = [stage for stage, (_, entry) in stages.items() if entry == name]
    if not alike:
        known = {entry for _, entry in stages.values()}
        raise ConfigurationError(f"{book.book.params} has no entry '{name}'.{closest(name, known)}")
    if len(alike) > 1:
        raise ConfigurationError(
            f"'{name}' names {len(alike)} stages of {book.book.params}: expected one of {', '.join(alike)}."
        )
    return stages[alike[0]]
