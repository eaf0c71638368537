"""Results tables as text: for a terminal and as Markdown; and which MLflow run made which output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.results.tables.bought import Bought, bought
from pipeline.results.tables.freshness import Record
from pipeline.results.tables.localisations import localisations
from pipeline.results.tables.paper import paper_table
from pipeline.results.tables.rows import PaperTable
from pipeline.results.tables.text import (
    NONE,
    TextTable,
    box_repeat_table,
    comparison_table,
    evaluation_table,
    localisation_table,
    repeat_table,
)

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.book.params import Book


def book_table(book: Book) -> TextTable:
    """One row for each evaluation of a checked book that has been made; no MLflow runs."""
    table = paper_table(book, runs={}, compare=False)
    short = evaluation_table(table)
    return TextTable(table.title, short.columns, short.cells, (*table.notes, *table.todo))


def seed_tables(book: Book) -> tuple[TextTable, TextTable, TextTable]:
    """Of a checked book: rows over several seeds, of masks and of boxes, of which something is made; differences."""
    table = paper_table(book, runs={})
    return repeat_table(table), box_repeat_table(table), comparison_table(table)


def label_prices(book: Book) -> tuple[Bought, ...]:
    """Final numbers of a checked book by what their labels cost, the cheapest first."""
    return bought(paper_table(book, runs={}, compare=False))


def box_table(book: Book) -> TextTable:
    """One row for each evaluation of boxes of a checked book that has been made."""
    return localisation_table(localisations(book, Record(book)))


def print_table(table: PaperTable, *, filled: bool = False) -> None:
    """Print the recipes, what was published beside them, the evaluations behind them, and the notes.

    Args:
        table: all of a book.
        filled: leave out recipes and repeats of which nothing has been evaluated, and say how many.
    """
    from pipeline.results.tables.files import recipe_table

    if filled:
        table = _filled(table)
    from pipeline.results.tables.layout import OURS, PUBLISHED

    shown: list[Table | str] = []
    named = any(row.published for row in table.rows)
    if table.numbers or named:
        shown += [recipe_table(table, (OURS,)).rich(), ""]
    if named:
        published = recipe_table(table, (PUBLISHED,))
        shown += [replace(published, title="Published numbers").rich(), ""]
    if table.repeats:
        shown += [repeat_table(table).rich(), ""]
    if table.box_repeats:
        shown += [box_repeat_table(table).rich(), ""]
    if table.comparisons:
        compared = comparison_table(table)
        shown += [compared.rich(), *compared.notes, ""]
    if table.numbers:
        shown += [replace(evaluation_table(table), title="Evaluations").rich(), ""]
    if table.localised:
        shown += [localisation_table(table.localised).rich(), ""]
    _print(*shown, *table.notes, *table.warnings, *table.todo)


def _filled(table: PaperTable) -> PaperTable:
    rows = tuple(row for row in table.rows if row.cells)
    left_out = len(table.rows) - len(rows)
    note = f"Recipes without a number are left out ({left_out}): the command `table` shows all."
    others = tuple(other for other in table.notes if other != table.missing)
    return replace(table, rows=rows, notes=(*others, note) if left_out else table.notes)


def print_runs(book: Book) -> None:
    """Print each stage of the book's dvc.lock with the MLflow run that made its output.

    Raises:
        DataError: the book has no dvc.lock yet.
    """
    from pipeline.tracking.runs import find_runs

    stages = find_runs(Path(book.book.path) / "dvc.lock")
    cells = tuple((stage.stage, stage.output, stage.md5[:8], stage.run_id or NONE) for stage in stages)
    _print(TextTable("", ("stage", "output", "md5", "MLflow run"), cells).rich())


def _print(*shown: Table | str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:  # 80 columns by default, which folds the numbers
        console = Console(width=120, highlight=False)
    for each in shown:  # labels and file names may have square brackets, which rich would read as markup
        console.print(each, markup=False)
