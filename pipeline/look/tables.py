"""A CSV of drawn points or boxes: the rows of one image are replaced, the others stay as they are, written whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from models.errors import DataError
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.image_names import ImageNames
from pipeline.datasets.tag_words import BACKGROUND_ONLY
from pipeline.storage.whole import whole_file

POINTS, BOXES = ("x", "y"), ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Row:
    """One mark.

    Attributes:
        label: 0 background, 1..C.
        numbers: in pixels from 0; empty in a row that says that the image has no object.
    """

    label: int
    numbers: tuple[float, ...]


class MarkTable:
    """Rows ``image,class,...`` by the id of their image, read again when another program has changed the file.

    Args:
        path: of the CSV; it need not be there.
        columns: :data:`POINTS` or :data:`BOXES`.
        catalogue: of the images.
    """

    def __init__(self, path: Path, columns: Sequence[str], catalogue: Catalogue) -> None:
        self.path, self.columns, self._catalogue = path, tuple(columns), catalogue
        self._names = ImageNames(catalogue)
        self._labels = {normalize("NFC", name): label for label, name in enumerate(catalogue.class_names, start=1)}
        self._labels.setdefault(BACKGROUND_ONLY, 0)
        self._written: tuple[int, int, int] | None = None
        self._cells: dict[str, list[list[str]]] = {}
        """By id; cells of images that the data set does not have under their own name."""

    def ids(self) -> set[str]:
        """Images with a row. Raises DataError where the file is no such table."""
        self._read()
        return set(self._cells)

    def rows(self, id: str) -> list[Row]:
        """The marks of an image, in the file's order. Raises as :meth:`ids`."""
        self._read()
        return [row for cells in self._cells.get(id, []) if (row := self._row(cells)) is not None]

    def replace(self, id: str, rows: Sequence[Row]) -> None:
        """Write the file with other marks of one image; rows of it that mean nothing here stay.

        Raises:
            DataError: the file is no such table.
        """
        self._read()
        strange = [cells for cells in self._cells.get(id, []) if self._row(cells) is None]
        cells = strange + [self._text(id, row) for row in rows]
        if cells == self._cells.get(id, []):
            return
        kept = {**self._cells, id: cells}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(("image", "class", *self.columns))
        writer.writerows(cells for of_image in kept.values() for cells in of_image)
        with whole_file(self.path) as scratch:
            scratch.write_text(buffer.getvalue(), encoding="utf-8", newline="")
        self._written = None

    def _read(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._written, self._cells = None, {}
            return
        written = status.st_mtime_ns, status.st_size, status.st_ino
        if self._written == written:
            return
        self._cells = {}
        for cells in self._lines():
            self._cells.setdefault(self._names.find(cells[0]) or cells[0], []).append(cells)
        self._written = written

    def _lines(self) -> Iterator[list[str]]:
        expected = ["image", "class", *self.columns]
        try:
            lines = list(csv.reader(io.StringIO(self.path.read_text(encoding="utf-8-sig"), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{self.path}: expected a CSV, found another file ({error}). {OTHER}") from None
        if not lines or lines[0] != expected:
            found = ",".join(lines[0])[:80] if lines else "an empty file"
            raise DataError(f"{self.path} line 1: expected {','.join(expected)}, found {found}. {OTHER}")
        for number, cells in enumerate(lines[1:], start=2):
            if len(cells) not in (0, len(expected)):
                raise DataError(
                    f"{self.path} line {number}: expected {len(expected)} cells, found {len(cells)}. {OTHER}"
                )
            if cells:
                yield cells

    def _row(self, cells: Sequence[str]) -> Row | None:
        """None for a class or numbers that mean nothing here."""
        label = self._labels.get(normalize("NFC", cells[1].strip()))
        if label == 0 and len(self.columns) == len(BOXES):
            return Row(0, ())
        try:
            return None if label is None else Row(label, tuple(map(float, cells[2:])))
        except ValueError:
            return None

    def _text(self, id: str, row: Row) -> list[str]:
        name = self._catalogue.class_names[row.label - 1] if row.label else BACKGROUND_ONLY
        numbers = [f"{round(number, 2):.2f}".rstrip("0").rstrip(".") for number in row.numbers]
        return [id, name, *(numbers or [""] * len(self.columns))]


OTHER = "It is not written to. Remedy: repair it, or draw into another folder with --out."
