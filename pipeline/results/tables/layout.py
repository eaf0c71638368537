"""The recipe table as fields and cells, the same for every format: ours first, then what was published.

Published numbers have fields of their own, one for each quantity, data set and split: never a field with ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.book.published import COLUMNS, Column, PublishedNumber
from pipeline.results.tables.rows import Number, PaperRow, PaperTable

OURS, PUBLISHED = "ours", "published"
STALE = "†"


@dataclass(frozen=True)
class Cell:
    """A text, and the number or the publication behind it; ``key`` names that, for a footnote."""

    text: str = ""
    key: str = ""
    number: Number | None = None
    published: PublishedNumber | None = None

    @property
    def mark(self) -> str:
        """A dagger on a number that is out of date."""
        return STALE if self.number is not None and self.number.stale else ""


@dataclass(frozen=True)
class Field:
    """One column: what is measured, on which data, whose number it is, and the cell of a row."""

    key: str
    title: str
    where: str
    group: str
    cell: Callable[[PaperRow], Cell]

    @property
    def heading(self) -> str:
        """Title and data in one line: "published CAM (VOC 2012 train)"."""
        whose = f"{PUBLISHED} " if self.group == PUBLISHED and self.where else ""
        return f"{whose}{self.title}" + (f" ({self.where})" if self.where else "")


def fields(table: PaperTable) -> list[Field]:
    """The columns that some row of the table has something for, or will have."""
    columns = [Field("recipe", "recipe", "", "", lambda row: Cell(row.label))]
    columns += [_ours(table, column) for column in COLUMNS if any(column in row.names for row in table.rows)]
    if any(row.last for row in table.rows):
        columns.append(Field("boundary_f", "boundary F", _splits(row.last for row in table.rows), OURS, _boundary))
    if any(row.share is not None for row in table.rows):
        columns.append(Field("percent_of_full", "% of full", "", OURS, _share))
    if any(_seen(row).text for row in table.rows):
        columns.append(Field("proposals_seen", "proposals have seen", "", OURS, _seen))
    if any(row.published for row in table.rows):
        columns.append(Field("published", "published method", "", PUBLISHED, _method))
        columns += [_published(*place) for place in _published_places(table)]
    return columns


def _ours(table: PaperTable, column: Column) -> Field:
    where = _splits(row.cells.get(column) for row in table.rows)
    return Field(column, COLUMNS[column], where, OURS, lambda row: _score(row.cells.get(column), "miou"))


def _score(number: Number | None, key: str) -> Cell:
    return Cell() if number is None else Cell(f"{number.metrics[key]:.1f}", number.evaluation, number)


def _boundary(row: PaperRow) -> Cell:
    return _score(row.last, "boundary_f")


def _share(row: PaperRow) -> Cell:
    return Cell() if row.share is None or row.last is None else Cell(f"{row.share:.1f}", "", row.last)


def _seen(row: PaperRow) -> Cell:
    """What proposers of class-agnostic masks learned from, of a row that stands on their masks."""
    proposals = [each for number in row.cells.values() for each in number.provenance["proposals"]]
    return Cell(", ".join(dict.fromkeys(each["seen"] for each in proposals)))


def _method(row: PaperRow) -> Cell:
    return Cell(f"{row.published.method}, {row.published.network}") if row.published else Cell()


def _published_places(table: PaperTable) -> list[tuple[Column, str, str]]:
    """(column, data set, split) of each published number beside a row, in the order of the columns."""
    places = {
        (column, row.published_data, number.split)
        for row in table.rows
        if row.published
        for column, number in row.published.numbers.items()
    }
    return sorted(places, key=lambda place: (list(COLUMNS).index(place[0]), *place[1:]))


def _published(column: Column, data: str, split: str) -> Field:
    def cell(row: PaperRow) -> Cell:
        number = row.published.numbers.get(column) if row.published and row.published_data == data else None
        if number is None or number.split != split:
            return Cell()
        return Cell(f"{number.value}", f"published_{row.key}_{column}", published=number)

    return Field(f"published_{column}", COLUMNS[column], f"{data} {split}", PUBLISHED, cell)


def _splits(numbers: Any) -> str:
    return ", ".join(dict.fromkeys(number.metrics["split"] for number in numbers if number is not None))


def sentence(number: Number) -> str:
    """Where a number comes from, in words; everything but its MLflow run and DVC hashes."""
    source: Mapping[str, Any] = number.provenance
    trained = (
        f"{each['name']} ({each['method']}, seed {each['seed']}) trained on {each['labels']}"
        for each in source["trained"]
    )
    proposals = (f"proposals {each['name']} ({each['proposer']}, seen: {each['seen']})" for each in source["proposals"])
    images = f", {source['images']} images" if source["images"] else ""
    parts = [
        f"{source['of']} of {source['data']}, {source['list']}{images}",
        f"labels at inference: {source['labels_at_inference']}",
        *proposals,
        *trained,
        "init " + "; ".join(source["init"]) if source["init"] else "",
        _views(source),
        *_merges(source),
        "CRF " + _options(source["crf"]) if source["crf"] else "no CRF",
        _options(source["thresholds"]),
    ]  # fmt: skip
    return "; ".join(part for part in parts if part)


def _merges(provenance: Mapping[str, Any]) -> list[str]:
    """CAMs that were averaged: with which, at which weight."""
    return [f"{each['refiner']}, weight {each['weight']:g}" for each in provenance["refiners"] if "weight" in each]


def _views(provenance: Mapping[str, Any]) -> str:
    if not provenance["scales"]:
        return ""
    return f"scales {', '.join(f'{scale:g}' for scale in provenance['scales'])}" + (
        ", mirrored" if provenance["flip"] else ""
    )


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in options.items())


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
