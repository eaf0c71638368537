"""What is said below a table: what its numbers are, what is missing, what is out of date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.book.params import Book
from pipeline.problems.notices import first_of
from pipeline.results.tables.provenance import data_sets, split_list

if TYPE_CHECKING:
    from pipeline.results.tables.rows import Number, PaperRow


BENCHMARKS = {"VOC 2012": {1464, 1449, 10582}, "COCO 2014": {82783, 82081, 40504, 40137}}
"""Images of the lists on which published numbers are measured: train, val and train_aug; COCO's with and without
pictures that show no object."""
NAMED = 5
"""Evaluations that the note on further ones names."""
LISTED = 12
"""Evaluations that a command names; `run` alone makes as many as there are."""


def missing_rows(book: Book, rows: Sequence[PaperRow], numbers: Mapping[str, Number]) -> str:
    """Which rows of the table have no number, where others have one; "" where none is missing or all are."""
    recipes = [row.label for row in rows if not row.cells]
    repeats = [
        row.label or key for key, row in book.table.repeats.items() if not any(name in numbers for name in row.of)
    ]
    parts = [
        f"{len(missing)} of {wanted} {named} ({first_of(missing, NAMED, between='; ')})"
        for missing, wanted, named in (
            (recipes, len(rows), "recipes"),
            (repeats, len(book.table.repeats), "rows over seeds"),
        )
        if missing
    ]
    return f"Without a number yet: {', '.join(parts)}." if numbers and parts else ""


def table_notes(book: Book, rows: Sequence[PaperRow], numbers: Mapping[str, Number]) -> Iterator[str]:
    """What has to be known beside the numbers."""
    if missing := missing_rows(book, rows, numbers):
        yield missing
    if any("best_threshold" in number.metrics for number in numbers.values()):
        yield "CAMs: mIoU and boundary F at the threshold of the best mIoU; 'at fixed': both at the one it names."
    if any(row.share is not None for row in rows):
        yield f"% of full: share of the mIoU of full supervision ({book.table.bound}), same images, scales and CRF."
    if any(number.provenance["proposals"] for number in numbers.values()):
        yield (
            "proposals have seen: what the proposer of class-agnostic masks learned from. A row whose proposer has "
            "seen masks is not one of image tags alone."
        )
    for split, absent in dict.fromkeys(
        (number.metrics["split"], number.metrics["absent_classes"])
        for number in numbers.values()
        if number.metrics.get("absent_classes")
    ):
        named = first_of(absent.split(", "))
        yield (
            f"mIoU is over the labels that the truth of a split has: {split} has no pixel of {named}. The column "
            "'absent as 0' counts these as 0, as HFPL, SEAM and SPML do."
        )
    lists = {split_list(book, n.provenance["data"].split(" ")[0], n.metrics["split"]): n for n in numbers.values()}
    renamed = [f"{n.metrics['split']} is {name}" for name, n in lists.items() if name != n.metrics["split"]]
    if renamed:
        yield f"Splits: {', '.join(dict.fromkeys(renamed))}."
    sets = list(dict.fromkeys(row.published_data for row in rows if row.published is not None))
    sizes = {size for name in sets for size in BENCHMARKS.get(name, set())}
    if numbers and sets and not all(number.metrics.get("images") in sizes for number in numbers.values()):
        data = ", ".join(sets)
        yield f"Published numbers are of {data}, ours of {data_sets(book)}: numbers of different images do not compare."


def todo_lines(book: Book, numbers: Mapping[str, Number]) -> Iterator[str]:
    """What is missing or out of date, with the command that makes it."""
    if not (book.evaluate or book.evaluate_boxes):
        yield f"{book.book.params} evaluates nothing: entries under 'evaluate:' need ground-truth masks."
    missing = [name for name in book.evaluate if name not in numbers]
    wanted = [name for name in missing if name in wanted_evaluations(book)]
    if wanted:
        yield f"Not evaluated yet: {first_of(wanted, LISTED)}. Run: {_command(book, wanted)}"
    others = [name for name in missing if name not in wanted]
    if others:
        where = "" if book.book.path == "." else f" --book {book.book.path}"
        names = ", ".join(others[:NAMED]) + (", ..." if len(others) > NAMED else "")
        yield f"{len(others)} more can be made: python -m pipeline run evaluate@NAME{where} ({names})."
    stale = {name: number.stale for name, number in numbers.items() if number.stale}
    if stale:
        reasons = list(dict.fromkeys(reason for changes in stale.values() for reason in changes))
        more = f", and {len(reasons) - 1} more" if len(reasons) > 1 else ""
        yield f"† out of date: {reasons[0]}{more} (table.md has all). Run: {_command(book, list(stale))}"


def wanted_evaluations(book: Book) -> set[str]:
    """The evaluations that ``run`` makes: all, or what stands behind ``book.targets``."""
    named = [target.partition("@") for target in book.book.targets]
    evaluations = {name for verb, _, name in named if verb == "evaluate"}
    return evaluations if book.book.targets else set(book.evaluate)


def _command(book: Book, names: list[str]) -> str:
    every = set(names) == wanted_evaluations(book) or len(names) > LISTED
    stages = "" if every else "".join(f" evaluate@{name}" for name in names)
    return f"python -m pipeline run{stages}" + ("" if book.book.path == "." else f" --book {book.book.path}")
