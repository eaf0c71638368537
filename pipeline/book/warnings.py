"""The warnings about data that lie beside what has been made of a book, to be shown again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.lineage import Node, ancestors
from pipeline.book.params import Book
from pipeline.problems.notices import Notice, read_notices


def made_notices(book: Book, nodes: Iterable[Node] | None = None) -> Iterator[tuple[str, Notice]]:
    """(stage such as ``prepare@mine``, its notice), inputs before what is made from them.

    Args:
        book: a checked book.
        nodes: entries (verb, name): these and what they stand on; None for the whole book.

    Raises:
        DataError: a file of warnings is damaged.
    """
    wanted = book.entries() if nodes is None else (below for node in nodes for below in ancestors(book, *node))
    for verb, name in dict.fromkeys(wanted):
        for notice in read_notices(artifact(book.book.work, kind_of(verb), name)):
            yield f"{verb}@{name}", notice
