"""Evaluations of one recipe under several seeds, as mean and spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.metrics.from_sums import BOX_METRICS, METRICS
from pipeline.book.head import BoxesRow, RepeatsRow
from pipeline.results.tables.comparisons import counted
from pipeline.results.tables.rows import Repeats

if TYPE_CHECKING:
    from pipeline.results.tables.rows import Number

SCORES, BOX_SCORES = ({metric.key: metric.title for metric in metrics} for metrics in (METRICS, BOX_METRICS))
"""Scores of rows over seeds, of ``table.repeats`` and of ``table.boxes``, and their headings."""
COLUMNS = ("recipe", "split", "seeds")


def repeats(
    named: Mapping[str, RepeatsRow] | Mapping[str, BoxesRow], numbers: Mapping[str, Number]
) -> tuple[Repeats, ...]:
    """The rows of ``table.repeats`` or of ``table.boxes`` of which something has been evaluated."""
    rows = (
        Repeats(key, row.label or key, tuple(numbers[name] for name in row.of if name in numbers), len(row.of))
        for key, row in named.items()
    )
    return tuple(row for row in rows if row.numbers)


def repeat_cells(row: Repeats, scored: Mapping[str, str] = SCORES) -> tuple[str, ...]:
    """A row as text: label, split, how many of the seeds, and each score as mean and deviation."""
    scores = (_text(*row.spread(score)) for score in scored)
    splits = ", ".join(dict.fromkeys(number.metrics["split"] for number in row.numbers))
    return (row.label + ("†" if row.stale else ""), splits, counted(len(row.numbers), row.wanted), *scores)


def _text(value: float, deviation: float | None) -> str:
    return f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"


def repeat_json(row: Repeats, scored: Mapping[str, str] = SCORES) -> dict[str, Any]:
    """A row for machines: the values of each score, their mean and deviation."""
    scores = {
        score: dict(zip(("mean", "std", "values"), (*row.spread(score), row.values(score)), strict=True))
        for score in scored
    }
    evaluations = [number.evaluation for number in row.numbers]
    seeds = counted(len(row.numbers), row.wanted)
    named = {"key": row.key, "label": row.label, "seeds": seeds, "evaluations": evaluations}
    return {**named, "up_to_date": not row.stale, **scores}
