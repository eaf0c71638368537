"""A book, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.book.params import Book


def checked_book(
    folder: str, files: bool = False, targets: Sequence[str] | None = None, *, committed: bool = False
) -> Book:
    """The book in ``folder``, every name resolved.

    With ``files`` its inputs are linked and found, and its dvc.yaml is checked, or written where it has none.

    Args:
        targets: stages whose inputs have to be there; None: all of the book.
        committed: take params.yaml as it is, whatever a book.yaml beside it says: what a plain ``dvc repro`` runs.

    Raises:
        ConfigurationError: the book does not hold.
    """
    from pipeline.book.agreement import check_agreement
    from pipeline.book.check import check as check_names
    from pipeline.book.check_inputs import check_files, check_targets
    from pipeline.book.graph_file import check_graph_file, write_first_graph
    from pipeline.book.links import link_sources
    from pipeline.book.mark import refresh_mark
    from pipeline.book.neighbours import check_work
    from pipeline.book.params import load_book

    if not committed:
        check_agreement(folder)
    book = load_book(folder)
    check_names(book)
    if not committed:
        check_work(book)
    if files:
        refresh_mark()
        check_graph_file(Path(book.book.path))
        check_targets(book, targets or ())
        link_sources(book)
        check_files(book, targets)
        write_first_graph(Path(book.book.path))
    return book
