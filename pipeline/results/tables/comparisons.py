"""Rows that a book compares: by how much one is better than the other, with a 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from models.metrics.from_sums import BOX_METRICS, METRICS, MIOU, Metric
from models.metrics.paired import Difference, Watch, paired_difference
from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.head import BoxesRow, RepeatsRow
from pipeline.book.params import Book
from pipeline.book.published import COLUMNS
from pipeline.compute.bars import progress
from pipeline.results.tables.image_counts import FILE, CountedImages, read_images

if TYPE_CHECKING:
    from pipeline.results.tables.rows import Number, PaperRow

TITLE = "Differences, with 95 % intervals"
HEADINGS = ("recipe", "against", "of", "score", "seeds", "difference", "95 % interval", "verdict")
SCORED_BY = {"evaluate": METRICS, "evaluate_boxes": BOX_METRICS}
LONG = 20_000
"""Images times pairs of seeds from which on a bar shows how far it is."""
BACKGROUND = "background"


@dataclass(frozen=True)
class Comparison:
    """One row against another.

    Attributes:
        key, against: of the rows, in ``table.recipes`` or ``table.repeats``.
        label, against_label: of the rows, for a reader.
        column: of ``table.recipes``; "" for rows of ``table.repeats``.
        wanted: how many pairs the book names.
        metric: the score that is compared.
        verb: what made the evaluations: ``evaluate``, or ``evaluate_boxes`` for rows of ``table.boxes``.
        pairs: the evaluations that are compared, one pair for each seed.
        difference: None where there is none; ``reason`` says why.
    """

    key: str
    against: str
    label: str
    against_label: str
    column: str
    pairs: tuple[tuple[Number, Number], ...]
    wanted: int = 1
    verb: str = "evaluate"
    metric: Metric = MIOU
    difference: Difference | None = None
    reason: str = ""

    @property
    def stale(self) -> bool:
        """Whether one of the evaluations is out of date."""
        return any(number.stale for pair in self.pairs for number in pair)


def comparisons(
    book: Book, rows: Sequence[PaperRow], numbers: Mapping[str, Number], boxes: Mapping[str, Number]
) -> tuple[Comparison, ...]:
    """What the book compares by each score, of rows that have a number: recipes in each column, then repeats.

    Args:
        book: the recipe book.
        rows: of the recipe table.
        numbers: evaluation -> its number.
        boxes: evaluation of boxes -> its number.

    Raises:
        DataError: an images.csv is not what a stage writes.
    """

    @cache
    def read(verb: str, number: str) -> CountedImages | None:
        return read_images(artifact(book.book.work, kind_of(verb), number) / FILE)

    seeds = _repeats(book.table.repeats, numbers, "evaluate")
    of_boxes = _repeats(book.table.boxes, boxes, "evaluate_boxes")
    wanted = (each for each in (*_recipes(book, rows), *seeds, *of_boxes) if each.pairs)
    scored = (replace(each, metric=metric) for each in wanted for metric in SCORED_BY[each.verb])
    return tuple(_measured(book, each, read) for each in scored)


def _recipes(book: Book, rows: Sequence[PaperRow]) -> Iterator[Comparison]:
    by_key = {row.key: row for row in rows}
    for key, recipe in book.table.recipes.items():
        if recipe.against:
            row, other = by_key[key], by_key[recipe.against]
            for column in COLUMNS:
                if column in row.cells and column in other.cells:
                    pair = (row.cells[column], other.cells[column])
                    yield Comparison(key, other.key, row.label, other.label, column, (pair,))


def _repeats(
    rows: Mapping[str, RepeatsRow] | Mapping[str, BoxesRow], numbers: Mapping[str, Number], verb: str
) -> Iterator[Comparison]:
    """Seeds are paired by their places in ``of``; a pair of which one has not been evaluated is left out."""
    for key, row in rows.items():
        if row.against:
            other = rows[row.against]
            pairs = list(zip(row.of, other.of, strict=False))
            made = tuple((numbers[one], numbers[two]) for one, two in pairs if one in numbers and two in numbers)
            labels = row.label or key, other.label or row.against
            yield Comparison(key, row.against, *labels, "", made, len(pairs), verb)


def _measured(book: Book, wanted: Comparison, read: Callable[[str, str], CountedImages | None]) -> Comparison:
    metric, verb = wanted.metric, wanted.verb
    evaluations = [[number.evaluation for number in side] for side in zip(*wanted.pairs, strict=True)]
    counts = {name: read(verb, name) for side in evaluations for name in side}
    known = {name: found for name, found in counts.items() if found and set(metric.columns) <= set(found.columns)}
    if older := [name for name in counts if name not in known]:
        stages = " ".join(f"{verb}@{name}" for name in older)
        return replace(wanted, reason=f"no counts of single images for {metric.title}; run {stages} again")
    if len({counted.ids for counted in known.values()}) > 1:
        return replace(wanted, reason="evaluated on other images")
    if options := _unequal_options(getattr(book, verb), metric, list(known)):
        return replace(wanted, reason=f"evaluated with another {' and '.join(options)}")
    left_out = set() if metric.background else {BACKGROUND}
    labels = sorted({label for counted in known.values() for label in counted.labels} - left_out)
    ours, theirs = ([known[name].table(labels, metric.columns) for name in side] for side in evaluations)
    try:
        difference = paired_difference(ours, theirs, metric, watch=_watch(wanted, ours[0].shape[0]))
    except ValueError as error:  # one image alone, or another ground truth
        return replace(wanted, reason=str(error))
    return replace(wanted, difference=difference)


def _unequal_options(entries: Mapping[str, Any], metric: Metric, evaluations: Sequence[str]) -> list[str]:
    """Options that change what the metric counts, and that differ between evaluations."""
    given = [entries[name].options for name in evaluations]
    return [key for key, default in metric.options.items() if len({each.get(key, default) for each in given}) > 1]


def _watch(wanted: Comparison, images: int) -> Watch:
    long = images * len(wanted.pairs) > LONG
    return partial(progress, desc=f"compare {wanted.key} with {wanted.against}") if long else iter


def compared_of(row: Comparison) -> str:
    """What of the two rows is compared, for a reader."""
    return next((title for column, title in COLUMNS.items() if column == row.column), "mean of seeds")


def counted(made: int, wanted: int) -> str:
    """How many of the seeds there are: "5", or "2 of 5"."""
    return f"{made}" if made == wanted else f"{made} of {wanted}"


def comparison_cells(row: Comparison) -> tuple[str, ...]:
    """A comparison as text, as :data:`HEADINGS` have it."""
    label = row.label + ("†" if row.stale else "")
    named = (label, row.against_label, compared_of(row), row.metric.title, counted(len(row.pairs), row.wanted))
    found = row.difference
    if found is None:
        return (*named, "-", "-", row.reason)
    return (*named, f"{found.value:+.1f}", f"{found.low:+.1f} to {found.high:+.1f}", found.verdict)


def comparison_notes(rows: Sequence[Comparison]) -> Iterator[str]:
    """What has to be known beside the intervals."""
    if any(row.difference for row in rows):
        yield (
            "Differences are in percentage points, their intervals count other images and other seeds: better and "
            "worse where the interval excludes 0, else open."
        )
    if any(row.difference and len(row.pairs) == 1 for row in rows):
        yield (
            "A difference of one seed compares two trained networks, not two methods: its interval is over images "
            "alone, and another seed may give another sign. So it has no verdict."
        )


def comparison_json(row: Comparison) -> dict[str, Any]:
    """A comparison for machines: in percentage points; ``reason`` says why there is no difference."""
    found = row.difference
    return {
        "row": row.key,
        "label": row.label,
        "against": row.against,
        "against_label": row.against_label,
        "of": compared_of(row),
        "column": row.column,
        "metric": row.metric.key,
        "score": row.metric.title,
        "seeds": counted(len(row.pairs), row.wanted),
        "evaluations": [[number.evaluation for number in pair] for pair in row.pairs],
        "up_to_date": not row.stale,
        "images": found.images if found else None,
        "difference": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "verdict": found.verdict if found else None,
        "reason": row.reason,
    }


def comparison_csv(row: Comparison) -> Iterator[dict[str, Any]]:
    """One line for each number of a comparison, with the fields of the table's CSV."""
    if (found := row.difference) is None:
        return
    same = {"recipe": row.key, "label": f"{row.label} - {row.against_label}", "origin": "ours", "images": found.images}
    pairs = "; ".join(" - ".join(number.evaluation for number in pair) for pair in row.pairs)
    same |= {"evaluation": pairs, "up_to_date": not row.stale}
    scored = [row.column] if row.column and row.metric is MIOU else [row.column, row.metric.key]
    name = "_".join([*filter(None, scored), "difference"])
    values = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    yield from (same | {"column": column, "value": value} for column, value in values.items())
