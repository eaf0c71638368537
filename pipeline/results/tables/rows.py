"""What a table holds: numbers, rows, and all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from pipeline.book.published import Column, PublishedMethod
from pipeline.results.tables.comparisons import Comparison
from pipeline.results.tables.localisations import Localised

LAST: tuple[Column, ...] = ("val_crf", "val")
"""The columns of a recipe's final number, the first that is there: boundary F and share are taken from it."""


@dataclass(frozen=True)
class Number:
    """One evaluation: its metrics.json (scores in percent), why it is out of date, and where it comes from."""

    evaluation: str
    metrics: Mapping[str, Any]
    stale: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def value(self) -> float:
        """mIoU in percent; of CAMs, at the best background threshold."""
        return float(self.metrics["miou"])


@dataclass(frozen=True)
class PaperRow:
    """One recipe.

    Attributes:
        key: name under ``table.recipes``.
        label: for a reader.
        names: column -> evaluation, also of those that have not been made.
        cells: column -> number, of those that have.
        share: the final number as a share, in percent, of full supervision's on the same images, scales and CRF.
        published: the published method beside it.
        published_data: the data set of that method's numbers, for a reader.
    """

    key: str
    label: str
    names: Mapping[Column, str]
    cells: Mapping[Column, Number]
    share: float | None = None
    published: PublishedMethod | None = None
    published_data: str = ""

    @property
    def last(self) -> Number | None:
        """The final number: predictions as they were tested."""
        return next((self.cells[column] for column in LAST if column in self.cells), None)


@dataclass(frozen=True)
class PaperTable:
    """Everything that the files of a table are written from.

    Attributes:
        book: short name of the book.
        title: for a reader.
        data: the book's data sets, for a reader.
        rows: one for each recipe.
        numbers: evaluation -> number, of those that have been made, in the order of the book.
        shares: evaluation -> percent of full supervision, or None.
        bound: the evaluation that counts as full supervision.
        notes: what a reader has to know.
        todo: what is missing or out of date, and what to run.
        repeats: recipes under several seeds, of which something has been evaluated.
        box_repeats: of evaluations of boxes under several seeds, of which something has been evaluated.
        localised: evaluations of boxes that have been made, in the order of the book.
        comparisons: rows that the book compares, of which both have a number.
        missing: which rows have no number, for a reader; "" where none is missing.
        warnings: about the data of what these numbers stand on, as its stages said them.
    """

    book: str
    title: str
    data: str
    rows: tuple[PaperRow, ...]
    numbers: Mapping[str, Number]
    shares: Mapping[str, float | None]
    bound: str | None
    notes: tuple[str, ...]
    todo: tuple[str, ...]
    repeats: tuple[Repeats, ...] = ()
    box_repeats: tuple[Repeats, ...] = ()
    localised: tuple[Localised, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    missing: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repeats:
    """One row of ``table.repeats`` or of ``table.boxes``: those of its evaluations that have been made."""

    key: str
    label: str
    numbers: tuple[Number, ...]
    wanted: int

    @property
    def stale(self) -> bool:
        """Whether one of them is out of date."""
        return any(number.stale for number in self.numbers)

    def values(self, score: str) -> list[float]:
        """The score of each, in percent."""
        return [float(number.metrics[score]) for number in self.numbers]

    def spread(self, score: str) -> tuple[float, float | None]:
        """Mean and sample standard deviation; a single value has none."""
        values = self.values(score)
        return mean(values), stdev(values) if len(values) > 1 else None
