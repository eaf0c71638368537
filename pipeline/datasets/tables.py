"""CSV tables of practitioners: a header, and messages with line numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataError


@dataclass(frozen=True)
class Row:
    """A line of a table: its place ("tags.csv line 7") and its cells by column, without blanks around."""

    where: str
    cells: dict[str, str]


def read_table(path: Path, required: Sequence[str]) -> tuple[tuple[str, ...], list[Row]]:
    """Columns and rows of a CSV file (comma or tab, UTF-8, header required). Empty lines are passed over.

    Raises:
        DataError: no such file, no UTF-8, a column missing or twice, or a row with another number of cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            f"{path}: expected a CSV file with columns {', '.join(required)}, found no such file."
        ) from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} line {line}: expected UTF-8 text, found other bytes. Save the file as UTF-8."
        ) from None
    first = text.split("\n", 1)[0]
    lines = csv.reader(text.splitlines(), delimiter="\t" if "\t" in first else ",")
    header = tuple(cell.strip() for cell in next(lines, []))
    _check_header(path, header, required)
    return header, list(_rows(path, lines, header))


def _check_header(path: Path, header: tuple[str, ...], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in header]
    twice = sorted({name for name in header if header.count(name) > 1})
    if missing or twice:
        wrong = f"without {', '.join(missing)}" if missing else f"with {', '.join(twice)} twice"
        raise DataError(
            f"{path} line 1: expected a header with each column once, {', '.join(required)} among them; found "
            f"'{','.join(header)}' {wrong}. Columns are separated by commas or tabs."
        )


def _rows(path: Path, lines: Iterator[list[str]], header: tuple[str, ...]) -> Iterator[Row]:
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path} line {number}"
        if len(cells) != len(header):
            raise DataError(f"{where}: expected {len(header)} cells ({', '.join(header)}), found {len(cells)}.")
        yield Row(where, dict(zip(header, (cell.strip() for cell in cells), strict=True)))
