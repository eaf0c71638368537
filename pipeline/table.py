"""The results table of a book, for a terminal and as Markdown; and which MLflow run made which output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import DataError
from pipeline.artifacts import artifact

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.params import Book

NONE = "-"
NUMBERS = ("miou", "boundary_f", "pixel_accuracy")


@dataclass(frozen=True)
class Row:
    """One evaluation: its name and the content of its metrics.json (scores in percent)."""

    name: str
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The rows of a table, each cell as text."""

    title: str
    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """The table for a README or an issue."""
        rule = ["---" if index < 3 else "---:" for index in range(len(self.columns))]
        lines = ["| " + " | ".join(row) + " |" for row in (self.columns, rule, *self.cells)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"

    def rich(self) -> Table:
        """The table for a terminal."""
        from rich import box
        from rich.table import Table

        table = Table(title=self.title or None, box=box.SIMPLE_HEAD, caption="\n".join(self.notes) or None)
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="left" if index < 3 else "right", overflow="fold")
        for row in self.cells:
            table.add_row(*row)
        return table


def read_rows(work: str | Path, names: Sequence[str]) -> list[Row]:
    """The evaluations of a work folder that are there, in the order of ``names``.

    Raises:
        DataError: a metrics file is not JSON, or lacks a score that every evaluation has.
    """
    paths = {name: artifact(work, "evaluations", name) / "metrics.json" for name in names}
    return [Row(name, _read(path)) for name, path in paths.items() if path.is_file()]


def results_table(rows: Sequence[Row], bound: str | None = None, title: str = "") -> Results:
    """One row for each evaluation; scores in percent.

    Args:
        rows: from :func:`read_rows`.
        bound: name of the evaluation of full supervision; the rows of its split are also given as a share of it.
        title: above the table.
    """
    full = next((row.metrics for row in rows if row.name == bound), None)
    columns = ["evaluation", "what", "split", "mIoU", "at", "boundary F", "pixel acc.", "at fixed", "% of full"]
    cells = [[row.name, row.metrics["of"], row.metrics["split"], *_scores(row.metrics, full)] for row in rows]
    kept = [index for index in range(len(columns)) if index < 3 or any(line[index] != NONE for line in cells)]
    return Results(
        title,
        tuple(columns[index] for index in kept),
        tuple(tuple(line[index] for index in kept) for line in cells),
        _notes(rows, full, bound),
    )


def book_results(book: Book) -> Results:
    """The results table of a book, with a note of what has not been evaluated yet."""
    rows = read_rows(book.book.work, list(book.evaluate))
    table = results_table(rows, book.table.bound, book.table.title)
    missing = [name for name in book.evaluate if name not in {row.name for row in rows}]
    note = (f"Not evaluated yet: {', '.join(missing)}.",) if missing else ()
    return Results(table.title, table.columns, table.cells, table.notes + note)


def print_results(book: Book) -> None:
    """Print the results table of a book."""
    _print(book_results(book).rich())


def print_runs(book: Book) -> None:
    """Print each stage of the book's dvc.lock with the MLflow run that made its output.

    Raises:
        DataError: the book has no dvc.lock yet.
    """
    from pipeline.runs import find_runs

    found = find_runs(Path(book.book.path) / "dvc.lock")
    cells = tuple((stage.stage, stage.output, stage.md5[:8], stage.run_id or NONE) for stage in found)
    _print(Results("", ("stage", "output", "md5", "MLflow run"), cells).rich())


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # 80 columns by default, which folds the numbers
        console = Console(width=140)
    console.print(table)


def _read(path: Path) -> dict[str, Any]:
    remedy = "Remedy: run its evaluate stage again."
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, found something else ({error}). {remedy}") from None
    missing = [key for key in ("of", "split", *NUMBERS) if key not in metrics]
    if missing:
        raise DataError(f"{path}: expected the keys of, split and {', '.join(NUMBERS)}, not there: {missing}. {remedy}")
    return dict(metrics)


def _scores(metrics: dict[str, Any], full: dict[str, Any] | None) -> list[str]:
    at = f"best {metrics['best_threshold']:.2f}" if "best_threshold" in metrics else NONE
    fixed = f"{metrics['miou_fixed']:.1f} ({metrics['fixed_threshold']:.2f})" if "miou_fixed" in metrics else NONE
    comparable = full is not None and full["split"] == metrics["split"] and full["miou"] > 0
    share = f"{100 * metrics['miou'] / full['miou']:.1f}" if comparable and full else NONE
    miou, boundary, accuracy = (f"{metrics[key]:.1f}" for key in NUMBERS)
    return [miou, at, boundary, accuracy, fixed, share]


def _notes(rows: Sequence[Row], full: dict[str, Any] | None, bound: str | None) -> tuple[str, ...]:
    notes = []
    if any("best_threshold" in row.metrics for row in rows):
        notes.append("CAMs: mIoU and pixel accuracy at the best background threshold, boundary F at the fixed one.")
    if full is not None:
        notes.append(f"% of full: share of the mIoU of {bound}, on the same split.")
    return tuple(notes)
