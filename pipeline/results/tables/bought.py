"""What labels buy: final numbers beside the minutes of a person that their labels would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TypeAlias

from pipeline.results.tables.rows import Number, PaperTable

Place: TypeAlias = tuple[str, str]
"""Data set and split."""


@dataclass(frozen=True)
class Bought:
    """One row of a table whose labels have a known price.

    Attributes:
        label: of the row, for a reader.
        kinds: of labels that it stands on.
        minutes: of a person, by published seconds a label.
        miou: of its predictions in percent, the mean where there are several seeds.
        std: over the seeds in percentage points, None for a single one.
        seeds: how many there are.
    """

    label: str
    kinds: tuple[str, ...]
    minutes: float
    miou: float
    std: float | None = None
    seeds: int = 1


def bought(table: PaperTable) -> tuple[Bought, ...]:
    """Rows over seeds, then recipes that are in none of them, the cheapest first.

    A row counts if its numbers judge predictions: CAMs and pseudo-masks are of images that have labels. All are of one
    data set and split, that of most rows.
    """
    found = list(_rows(table))
    rows_at = Counter(place for place, _ in found)
    most = max(rows_at, key=rows_at.__getitem__, default=None)
    rows = [row for place, row in found if place == most]
    return tuple(sorted(rows, key=lambda row: (row.minutes, row.miou, row.label)))


def frontier(rows: Sequence[Bought]) -> tuple[Bought, ...]:
    """Of rows in order of their minutes, those that are better than all cheaper ones."""
    best: list[Bought] = []
    for row in rows:
        if not best or row.miou > best[-1].miou:
            while best and best[-1].minutes == row.minutes:
                best.pop()
            best.append(row)
    return tuple(best)


def _rows(table: PaperTable) -> Iterator[tuple[Place, Bought]]:
    shown: set[str] = set()
    for row in table.repeats:
        costs = [_minutes(number) for number in row.numbers]
        if all(costs):
            shown.update(number.evaluation for number in row.numbers)
            spread = row.spread("miou")
            price = mean(minutes for minutes in costs if minutes)
            yield _place(row.numbers[0]), Bought(row.label, _kinds(row.numbers[0]), price, *spread, len(row.numbers))
    for recipe in table.rows:
        last = recipe.last
        if last and last.evaluation not in shown and (minutes := _minutes(last)):
            yield _place(last), Bought(recipe.label, _kinds(last), minutes, last.value)


def _place(number: Number) -> Place:
    return number.provenance["data"], number.provenance["split"]


def _minutes(number: Number) -> float | None:
    cost = number.provenance.get("label_cost")
    judges_predictions = str(number.provenance["of"]).startswith("masks/")
    return float(cost["minutes"]) if cost and judges_predictions else None


def _kinds(number: Number) -> tuple[str, ...]:
    return tuple(number.provenance["label_cost"]["kinds"])
