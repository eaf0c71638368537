"""Tables as text: for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from pipeline.results.tables import comparisons
from pipeline.results.tables.localisations import TITLE, Localised, columns_and_cells
from pipeline.results.tables.repeats import BOX_SCORES, COLUMNS, SCORES, repeat_cells
from pipeline.results.tables.rows import Number, PaperTable

if TYPE_CHECKING:
    from rich.table import Table


NONE = "-"


HEADING = 8
"""Characters after which the heading of a narrow column is folded on a terminal."""


EVALUATION_COLUMNS = (
    "evaluation", "of", "split", "mIoU", "absent as 0", "at", "boundary F", "pixel acc.", "at fixed", "% of full",
    "run", "md5",
)  # fmt: skip


@dataclass(frozen=True)
class TextTable:
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
        from rich.text import Text

        title = Text(self.title, style="table.title") if self.title else None  # texts: "[a]" is no markup of rich
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.show_edge = table.pad_edge = False
        for index, column in enumerate(self.columns):
            widest = max((len(row[index]) for row in self.cells), default=0)
            heading = "\n".join(wrap(column, max(widest, HEADING, *(len(word) for word in column.split()))))
            table.add_column(Text(heading), justify="left" if index in self.left else "right", overflow="fold")
        for row in self.cells:
            table.add_row(*map(Text, row))
        return table


def evaluation_table(table: PaperTable) -> TextTable:
    """One row for each evaluation: scores in percent, its MLflow run and the DVC hash of its metrics, shortened."""
    cells = [_cells(number, table.shares[name]) for name, number in table.numbers.items()]
    kept = [index for index in range(len(EVALUATION_COLUMNS)) if index < 3 or any(row[index] != NONE for row in cells)]
    return TextTable(
        "",
        tuple(EVALUATION_COLUMNS[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in cells),
    )


def repeat_table(table: PaperTable) -> TextTable:
    """One row for each recipe that was trained with several seeds."""
    cells = tuple(repeat_cells(row) for row in table.repeats)
    return TextTable("Mean and standard deviation over seeds", (*COLUMNS, *SCORES.values()), cells)


def box_repeat_table(table: PaperTable) -> TextTable:
    """One row for each recipe whose boxes were evaluated under several seeds."""
    cells = tuple(repeat_cells(row, BOX_SCORES) for row in table.box_repeats)
    return TextTable(f"{TITLE} over seeds", (*COLUMNS, *BOX_SCORES.values()), cells)


def comparison_table(table: PaperTable) -> TextTable:
    """One row for each comparison."""
    cells = tuple(comparisons.comparison_cells(row) for row in table.comparisons)
    notes = tuple(comparisons.comparison_notes(table.comparisons))
    return TextTable(comparisons.TITLE, comparisons.HEADINGS, cells, notes, left=(0, 1, 2, 3, 7))


def localisation_table(localised: Sequence[Localised]) -> TextTable:
    """One row for each evaluation of boxes."""
    return TextTable(TITLE, *columns_and_cells(localised))


def _cells(number: Number, share: float | None) -> list[str]:
    metrics = number.metrics
    run = next((mlflow_run["run"][:8] for mlflow_run in number.provenance["mlflow"].values() if mlflow_run), NONE)
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
        _at_fixed(metrics),
        NONE if share is None else f"{share:.1f}",
        run,
        md5[:8] if md5 else NONE,
    ]


def _at_fixed(metrics: Mapping[str, Any]) -> str:
    """mIoU and boundary F at the fixed threshold, and that: "46.8, 11.1 (0.25)". Older evaluations lack the second."""
    scores = [f"{metrics[key]:.1f}" for key in ("miou_fixed", "boundary_f_fixed") if key in metrics]
    return f"{', '.join(scores)} ({metrics['fixed_threshold']:.2f})" if scores else NONE
