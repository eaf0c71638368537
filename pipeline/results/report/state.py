"""Which pieces of a book are missing, and which are no longer what the book says."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.book.artifacts import SCORED, artifact, kind_of
from pipeline.book.lineage import Node, ancestors
from pipeline.book.params import Book
from pipeline.results.tables.freshness import Record


@dataclass(frozen=True)
class BookState:
    """What a report is not of.

    Attributes:
        missing: stages by name ("train@cam") that have not been made, in the order of the book.
        stale: stages that were made and have changed since, or stand on one that has.
        reasons: what changed, by stage.
    """

    missing: tuple[str, ...]
    stale: tuple[str, ...]
    reasons: tuple[str, ...]


def book_state(book: Book) -> BookState:
    """Compare a book with what has been made of it, by DVC's record of it; outputs are not read.

    Raises:
        DataError: dvc.lock is damaged.
    """
    record = Record(book)
    made = [node for node in book.entries() if _made(book, node)]
    reasons = {node: record.reasons(node) for node in made}
    stale = [node for node in made if any(reasons.get(below) for below in ancestors(book, *node))]
    return BookState(
        tuple(_stage(node) for node in book.entries() if node not in made),
        tuple(map(_stage, stale)),
        tuple(f"{_stage(node)} {reason}" for node in stale for reason in reasons[node]),
    )


def _made(book: Book, node: Node) -> bool:
    verb, name = node
    path = artifact(book.book.work, kind_of(verb), name)
    return (path / "metrics.json" if verb in SCORED else path).exists()


def _stage(node: Node) -> str:
    return "@".join(node)
