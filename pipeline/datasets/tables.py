"""CSV tables of practitioners: a header, and messages with line numbers."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.datasets.exports import foreign_bytes, foreign_header, foreign_text
from pipeline.datasets.regular import read_regular

QUOTED = 80
"""Characters of a file that a message quotes at most."""
LONGEST_HEADER = 100_000
"""Characters; a thousand columns are far below."""
LONGEST_CELL = 131_072
"""Characters of a cell of tags, boxes or points: what is longer has a quote that nobody closed."""
csv.field_size_limit(2**30)  # of the process: a cell of a tool's export holds all brushes or vertices of an image
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff"))
"""Characters that spreadsheets and web pages leave behind, and nobody sees."""
NO_NAMES: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True, slots=True)
class TableLine:
    """A line of a table: its place ("tags.csv line 7") and its cells by column, without blanks around."""

    where: str
    cells: dict[str, str]


def read_table(
    path: Path,
    required: Sequence[str],
    names: Mapping[str, Sequence[str]] = NO_NAMES,
    longest: int | None = LONGEST_CELL,
) -> tuple[tuple[str, ...], list[TableLine]]:
    """Columns and rows of a CSV file (comma, semicolon or tab, UTF-8, header required). Empty lines are passed over.

    Args:
        path: of the file.
        required: columns that must be there.
        names: column -> other names that files have for it. With them, capitals do not count either, and the columns
            come out under their own names.
        longest: characters of a cell at most; None for any number.

    Raises:
        DataError: no such file, no UTF-8, no table, a column missing or twice, a row with another number of cells, or a
            cell that is too long.
    """
    text = read_text(path, f"a CSV file with columns {', '.join(required) or 'image, tags'}")
    start = text.lstrip()[:1]
    if start in ("{", "[", "<") or len(text.split("\n", 1)[0]) > LONGEST_HEADER:
        raise DataError(
            f"{path} line 1: expected the header of a CSV ({', '.join(required) or 'image, tags'}), found "
            f"{foreign_text(path) or f'{clipped(text)} without an end. Remedy: name a CSV.'}"
        )
    source = io.StringIO(text, newline="")
    delimiter, skipped = _delimiter(source)
    lines = csv.reader(source, delimiter=delimiter)
    try:
        written = tuple(map(_clean, next(lines, [])))
        header = _named(path, written, names)
        _check_header(path, header, required, written)
        return header, list(_rows(path, lines, header, skipped, longest))
    except csv.Error as error:
        raise DataError(f"{path} line {lines.line_num + skipped}: expected a CSV, found {error}.") from None


def read_text(path: Path, expected: str) -> str:
    """The text of a file of UTF-8, without a byte order mark.

    Args:
        path: of the file.
        expected: what should be there, for the messages.

    Raises:
        DataError: no such file, a folder, a file of another kind (which is named), or no UTF-8.
    """
    try:
        content = read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: expected {expected}, found no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: expected {expected}, found a folder. Remedy: name the file itself.") from None
    except OSError as error:
        raise DataError(f"{path}: expected {expected}, found {error.strerror or type(error).__name__}.") from None
    if foreign := foreign_bytes(content[:4096]):
        raise DataError(f"{path}: expected {expected}, found {foreign}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path} line {line}: expected UTF-8 text, found other bytes. Save the file as UTF-8."
        ) from None


def clipped(text: str, limit: int = QUOTED) -> str:
    """The beginning of a text that may be long, quoted, for a message."""
    return f"'{text}'" if len(text) <= limit else f"'{text[:limit]}...' ({len(text)} characters)"


def cut(text: str, limit: int = QUOTED) -> str:
    """The beginning of a text that may be long, as it is, for a message."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def _delimiter(source: io.StringIO) -> tuple[str, int]:
    """Of the table, by the header, at which ``source`` is left; and how many lines come before it.

    Those are empty ones, and Excel's ``sep=;``.
    """
    delimiter, skipped, place = "", 0, 0
    while line := source.readline():
        stated = re.fullmatch(r"sep=(.)", line.strip())
        if line.strip() and not stated:
            source.seek(place)
            return delimiter or next((mark for mark in "\t,;" if mark in line), ","), skipped
        delimiter = stated[1] if stated else delimiter
        skipped, place = skipped + 1, source.tell()
    return ",", skipped


def _named(path: Path, header: tuple[str, ...], names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The header with each column under its own name, where the file has another one for it."""
    if not names:
        return header
    folded = [re.sub(r"[\s_-]", "", cell).casefold() for cell in header]
    new = list(header)
    for column, others in names.items():
        if column in header:
            continue
        wanted = [column, *others]
        places = [place for place, cell in enumerate(folded) if cell in wanted]
        if len(places) > 1:
            found = ", ".join(f"'{header[place]}'" for place in places)
            raise DataError(
                f"{path} line 1: expected one column '{column}', found {found}. Remedy: name it '{column}'."
            )
        for place in places:
            new[place] = column
    return tuple(new)


def _check_header(path: Path, header: tuple[str, ...], required: Sequence[str], written: tuple[str, ...]) -> None:
    counts = Counter(header)
    missing = [name for name in required if name not in counts]
    twice = sorted(name for name, count in counts.items() if count > 1)
    if missing or twice:
        if not any(header):
            raise DataError(f"{path} line 1: expected a header with {', '.join(required)}, found an empty file.")
        wrong = f"without {', '.join(missing)}" if missing else f"with {cut(', '.join(twice) or 'no name')} twice"
        foreign = foreign_header(written) if missing else None
        hint = f"This is {foreign}" if foreign else "Columns are separated by commas, semicolons or tabs."
        raise DataError(
            f"{path} line 1: expected a header with each column once, {', '.join(required)} among them; found "
            f"{clipped(','.join(written))} {wrong}. {hint}"
        )


def _rows(path: Path, lines: Any, header: tuple[str, ...], skipped: int, longest: int | None) -> Iterator[TableLine]:
    """Rows of a ``csv.reader`` with the line on which they begin: a cell in quotes may hold line breaks."""
    number = lines.line_num + 1 + skipped
    for cells in lines:
        where, number = f"{path} line {number}", lines.line_num + 1 + skipped
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            columns = cut(", ".join(header))
            more = " A cell that holds the separator itself stands in quotes." if len(cells) > len(header) else ""
            raise DataError(f"{where}: expected {len(header)} cells ({columns}), found {len(cells)}.{more}")
        if longest is not None and (found := max(map(len, cells))) > longest:
            raise DataError(
                f"{where}: expected cells of at most {longest:,} characters, found one of {found:,}. Remedy: close the "
                "quote with which it begins."
            )
        yield TableLine(where, dict(zip(header, map(_clean, cells), strict=True)))


def _clean(cell: str) -> str:
    return cell.translate(_INVISIBLE).strip()
