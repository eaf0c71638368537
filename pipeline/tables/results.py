"""Results tables as text: for a terminal and as Markdown; and which MLflow run made which output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from pipeline.tables.freshness import Record
from pipeline.tables.localisations import TITLE, Localised, columns_and_cells, localisations
from pipeline.tables.paper import Number, PaperTable, paper_table
from pipeline.tables.repeats import COLUMNS, cells

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.params import Book

NONE = "-"
HEADING = 8
"""Characters after which the heading of a narrow column is folded on a terminal."""
EVALUATION_COLUMNS = (
    "evaluation", "of", "split", "mIoU", "absent as 0", "at", "boundary F", "pixel acc.", "at fixed", "% of full",
    "run", "md5",
)  # fmt: skip


@dataclass(frozen=True)
class Results:
    """The rows of a table, each cell as text; ``left`` are the columns of words."""

    title: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    left: tuple[int, ...] = (0, 1, 2)

    def markdown(self) -> str:
        """The table for a README or an issue."""
        rule = ["---" if index in self.left else "---:" for index in range(len(self.columns))]
        lines = ["| " + " | ".join(row) + " |" for row in (self.columns, rule, *self.cells)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"

    def rich(self) -> Table:
        """The table for a terminal, without its notes; headings are folded, numbers never."""
        from rich import box
        from rich.table import Table

        table = Table(title=self.title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.show_edge = table.pad_edge = False
        for index, column in enumerate(self.columns):
            widest = max((len(row[index]) for row in self.cells), default=0)
            heading = "\n".join(wrap(column, max(widest, HEADING, *(len(word) for word in column.split()))))
            table.add_column(heading, justify="left" if index in self.left else "right", overflow="fold")
        for row in self.cells:
            table.add_row(*row)
        return table


def book_results(book: Book) -> Results:
    """One row for each evaluation of a checked book that has been made; no MLflow runs."""
    table = paper_table(book, runs={})
    short = detail(table)
    return Results(table.title, short.columns, short.cells, (*table.notes, *table.todo))


def box_results(book: Book) -> Results:
    """One row for each evaluation of boxes of a checked book that has been made."""
    return localisation_results(localisations(book, Record(book)))


def detail(table: PaperTable) -> Results:
    """One row for each evaluation: scores in percent, its MLflow run and the DVC hash of its metrics, shortened."""
    cells = [_cells(number, table.shares[name]) for name, number in table.numbers.items()]
    kept = [index for index in range(len(EVALUATION_COLUMNS)) if index < 3 or any(row[index] != NONE for row in cells)]
    return Results(
        "",
        tuple(EVALUATION_COLUMNS[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in cells),
    )


def repeat_results(table: PaperTable) -> Results:
    """One row for each recipe that was trained with several seeds."""
    return Results("Mean and standard deviation over seeds", COLUMNS, tuple(cells(row) for row in table.repeats))


def localisation_results(found: Sequence[Localised]) -> Results:
    """One row for each evaluation of boxes."""
    return Results(TITLE, *columns_and_cells(found))


def print_table(table: PaperTable, *, filled: bool = False) -> None:
    """Print the recipes, what was published beside them, the evaluations behind them, and the notes.

    Args:
        table: all of a book.
        filled: leave out recipes and repeats of which nothing has been evaluated, and say how many.
    """
    from pipeline.tables.files import recipe_results

    if filled:
        table = _filled(table)
    from pipeline.tables.layout import OURS, PUBLISHED

    shown: list[Table | str] = []
    named = any(row.published for row in table.rows)
    if table.numbers or named:
        shown += [recipe_results(table, (OURS,)).rich(), ""]
    if named:
        published = recipe_results(table, (PUBLISHED,))
        shown += [replace(published, title="Published numbers").rich(), ""]
    if table.numbers:
        if table.repeats:
            shown += [repeat_results(table).rich(), ""]
        shown += [replace(detail(table), title="Evaluations").rich(), ""]
    if table.localised:
        shown += [localisation_results(table.localised).rich(), ""]
    _print(*shown, *table.notes, *table.warnings, *table.todo)


def _filled(table: PaperTable) -> PaperTable:
    rows = tuple(row for row in table.rows if row.cells)
    left_out = len(table.rows) - len(rows)
    said = f"Recipes without a number are left out ({left_out}): the command `table` shows all."
    return replace(table, rows=rows, notes=(*table.notes, said) if left_out else table.notes)


def print_runs(book: Book) -> None:
    """Print each stage of the book's dvc.lock with the MLflow run that made its output.

    Raises:
        DataError: the book has no dvc.lock yet.
    """
    from pipeline.runs import find_runs

    found = find_runs(Path(book.book.path) / "dvc.lock")
    cells = tuple((stage.stage, stage.output, stage.md5[:8], stage.run_id or NONE) for stage in found)
    _print(Results("", ("stage", "output", "md5", "MLflow run"), cells).rich())


def _print(*shown: Table | str) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:  # 80 columns by default, which folds the numbers
        console = Console(width=120, highlight=False)
    for each in shown:
        console.print(each)


def _cells(number: Number, share: float | None) -> list[str]:
    metrics = number.metrics
    run = next((found["run"][:8] for found in number.provenance["mlflow"].values() if found), NONE)
    md5 = number.provenance["dvc"]["metrics.json"]
    return [
        number.evaluation + ("†" if number.stale else ""),
        metrics["of"],
        metrics["split"],
        f"{metrics['miou']:.1f}",
        f"{metrics['miou_absent_zero']:.1f}" if metrics.get("absent_classes") else NONE,
        f"{metrics['best_threshold']:.2f}" if "best_threshold" in metrics else NONE,
        f"{metrics['boundary_f']:.1f}",
        f"{metrics['pixel_accuracy']:.1f}",
        f"{metrics['miou_fixed']:.1f} ({metrics['fixed_threshold']:.2f})" if "miou_fixed" in metrics else NONE,
        NONE if share is None else f"{share:.1f}",
        run,
        md5[:8] if md5 else NONE,
    ]
