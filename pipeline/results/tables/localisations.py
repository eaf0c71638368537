"""The table of object localisation: what evaluate_boxes stages wrote, a row for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.book.artifacts import artifact
from pipeline.book.params import Book
from pipeline.results.tables.evaluations import read_json

if TYPE_CHECKING:
    from pipeline.results.tables.freshness import Record

TITLE = "Object localisation"
SCORES = {
    "top1_loc": "Top-1 Loc",
    "top5_loc": "Top-5 Loc",
    "gt_known": "GT-known",
    "max_box_acc_v2": "MaxBoxAccV2",
    "max_box_acc_v2_30": "at IoU .3",
    "max_box_acc_v2_50": ".5",
    "max_box_acc_v2_70": ".7",
    "top1_cls": "Top-1 class",
}
"""Scores of metrics.json, all in percent, and their columns."""
NAMED = 5


@dataclass(frozen=True)
class Localised:
    """One evaluation of boxes: its metrics.json (scores in percent), and why it is out of date."""

    name: str
    metrics: dict[str, Any]
    out_of_date: tuple[str, ...] = ()


def localisations(book: Book, record: Record) -> tuple[Localised, ...]:
    """Those of a checked book that have been made.

    Raises:
        DataError: a metrics.json is not what a stage wrote.
    """
    wanted = ("cams", "split", "images", "best_threshold", *SCORES)
    made = []
    for name in book.evaluate_boxes:
        metrics = read_json(artifact(book.book.work, "localisations", name) / "metrics.json", wanted)
        if metrics is not None:
            made.append(Localised(name, metrics, record.changes(name, "evaluate_boxes")))
    return tuple(made)


def columns_and_cells(localised: Sequence[Localised]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The table's columns, the first three of words, and its rows as text."""
    columns = ("boxes of", "cams", "split", "images", *SCORES.values(), "threshold")
    rows = tuple(
        (
            row.name + ("†" if row.out_of_date else ""),
            row.metrics["cams"],
            row.metrics["split"],
            str(row.metrics["images"]),
            *(f"{row.metrics[key]:.1f}" for key in SCORES),
            f"{row.metrics['best_threshold']:.3f}",
        )
        for row in localised
    )
    return columns, rows


def csv_lines(localised: Sequence[Localised]) -> Iterator[dict[str, Any]]:
    """One line for each number, with the fields of the table's CSV."""
    for row in localised:
        same = {"recipe": row.name, "origin": "ours", "evaluation": row.name, "of": f"cams/{row.metrics['cams']}"}
        same |= {key: row.metrics[key] for key in ("split", "images")} | {"up_to_date": not row.out_of_date}
        yield from (same | {"column": key, "value": row.metrics[key]} for key in SCORES)


def localisations_json(localised: Sequence[Localised]) -> dict[str, Any]:
    """Name -> metrics, and why they are out of date."""
    return {row.name: {key: value for key, value in asdict(row).items() if key != "name"} for row in localised}


def boxes_todo_lines(book: Book, localised: Sequence[Localised]) -> Iterator[str]:
    """What has not been made or is out of date, and the command that makes it."""
    made = {row.name for row in localised}
    where = "" if book.book.path == "." else f" --book {book.book.path}"
    missing = [name for name in book.evaluate_boxes if name not in made]
    if missing:
        names = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
        yield f"Object localisation can be made: python -m pipeline run evaluate_boxes@NAME{where} ({names})."
    stale = [row for row in localised if row.out_of_date]
    if stale:
        stages = " ".join(f"evaluate_boxes@{row.name}" for row in stale)
        yield f"† out of date: {stale[0].out_of_date[0]}. Run: python -m pipeline run {stages}{where}"
