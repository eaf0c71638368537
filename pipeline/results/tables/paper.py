"""The table of a paper: a row for each recipe, a number for each column, each with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.errors import Weak2MaskError
from pipeline.book.head import RecipeRow
from pipeline.book.params import Book
from pipeline.book.published import COLUMNS, Column, published
from pipeline.book.warnings import made_notices
from pipeline.results.tables.comparisons import comparisons
from pipeline.results.tables.evaluations import read_evaluations
from pipeline.results.tables.freshness import Record
from pipeline.results.tables.localisations import boxes_todo_lines as boxes_todo
from pipeline.results.tables.localisations import localisations
from pipeline.results.tables.notes import missing_rows, table_notes, todo_lines
from pipeline.results.tables.provenance import data_sets, provenance
from pipeline.results.tables.recipes import network_of, recipes, test_settings
from pipeline.results.tables.repeats import repeats
from pipeline.results.tables.rows import Number, PaperRow, PaperTable
from pipeline.tracking.runs import RecordedStage, known_runs


def paper_table(book: Book, runs: Mapping[str, RecordedStage] | None = None, *, compare: bool = True) -> PaperTable:
    """The table of a checked book, from the evaluations that are there. Trains nothing, reads no store.

    Args:
        book: the recipe book.
        runs: stage name -> MLflow run; None asks MLflow, where runs are recorded.
        compare: with the intervals of the differences, which take a second or more for large splits.

    Raises:
        DataError: a metrics.json, images.csv or dvc.lock is not what a stage or DVC wrote.
    """
    warned: list[str] = []
    if runs is None:
        runs = _runs(book, warned)
    record = Record(book)
    ran = record.book_as_run
    numbers = {
        name: Number(name, metrics, record.changes(name), provenance(ran, name, metrics, record, runs))
        for name, metrics in _made(book)
    }
    localised = localisations(book, record)
    made = [*(("evaluate", name) for name in numbers), *(("evaluate_boxes", one.name) for one in localised)]
    shares = {name: share_of_full(ran, name, numbers) for name in numbers}
    rows = tuple(_row(key, recipe, numbers, shares) for key, recipe in recipes(book).items())
    boxes = {one.name: Number(one.name, one.metrics, one.out_of_date, {}) for one in localised}
    compared = comparisons(book, rows, numbers, boxes) if compare else ()
    return PaperTable(
        book=book.name,
        title=book.table.title or book.name,
        data=data_sets(book),
        rows=rows,
        numbers=numbers,
        shares=shares,
        bound=book.table.bound,
        notes=tuple(table_notes(book, rows, numbers)),
        todo=(*todo_lines(book, numbers), *boxes_todo(book, localised), *warned),
        repeats=repeats(book.table.repeats, numbers),
        box_repeats=repeats(book.table.boxes, boxes),
        localised=localised,
        comparisons=compared,
        missing=missing_rows(book, rows, numbers),
        warnings=tuple(f"Warning ({stage}): {notice.text}" for stage, notice in made_notices(book, made)),
    )


def share_of_full(book: Book, name: str, numbers: Mapping[str, Number]) -> float | None:
    """mIoU of an evaluation of predictions as a share, in percent, of full supervision's with the same views and CRF.

    Full supervision is ``table.bound``, or another evaluation of the same checkpoint; None where there is none.
    """
    full = _full(book, name, numbers)
    return 100 * numbers[name].value / full.value if full is not None and full.value > 0 else None


def _full(book: Book, name: str, numbers: Mapping[str, Number]) -> Number | None:
    bound = book.table.bound
    if bound is None or bound not in book.evaluate or not _predicted(book, name) or not _predicted(book, bound):
        return None
    network = network_of(book, bound)
    for other in (bound, *book.evaluate):
        if other in numbers and _predicted(book, other) and network_of(book, other) == network:
            same_images = numbers[other].metrics["split"] == numbers[name].metrics["split"]
            same_data = book.evaluate[other].data == book.evaluate[name].data
            if same_images and same_data and _views(book, other) == _views(book, name):
                return numbers[other]
    return None


def _views(book: Book, name: str) -> tuple[Any, ...]:
    """What a test may give to any network: scales, mirror images and CRF.

    What a method makes of its heads (a gate, a background, an average of logits or of probabilities) belongs to it.
    """
    settings = test_settings(book, name)
    return settings["scales"], settings["flip"], settings["crf"]


def _predicted(book: Book, name: str) -> bool:
    return book.evaluate[name].of.startswith("masks/")


def _made(book: Book) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from ((row.name, row.metrics) for row in read_evaluations(book.book.work, list(book.evaluate)))


def _runs(book: Book, warned: list[str]) -> dict[str, RecordedStage]:
    try:
        return known_runs(Path(book.book.path) / "dvc.lock")
    except Weak2MaskError as error:
        warned.append(f"Without MLflow runs: {str(error).splitlines()[0]}")
        return {}


def _row(key: str, recipe: RecipeRow, numbers: Mapping[str, Number], shares: Mapping[str, float | None]) -> PaperRow:
    names: dict[Column, str] = {column: name for column in COLUMNS if (name := getattr(recipe, column))}
    cells = {column: numbers[name] for column, name in names.items() if name in numbers}
    row = PaperRow(key, recipe.label or key, names, cells)
    if row.last is not None:
        row = replace(row, share=shares[row.last.evaluation])
    if recipe.published is None:
        return row
    method = published().methods[recipe.published]
    return replace(row, published=method, published_data=published().data_set(recipe.published))
