"""Writes the folder: index.html, its assets and pictures; whole, or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.book.params import Book
from pipeline.book.warnings import made_notices
from pipeline.results.report.choosing import Choice, chosen_images, default_judges
from pipeline.results.report.figures import plotly_js
from pipeline.results.report.plots import book_plots
from pipeline.results.report.rows import Plain, RowWriter, hex_colour, write_rows
from pipeline.results.report.sources import TRUTH, Column, DataSet, Judge, find_columns, find_judges, prepared, root_of
from pipeline.results.report.state import book_state
from pipeline.results.tables.results import book_table, box_table, label_prices, seed_tables
from pipeline.results.tables.text import NONE, TextTable
from pipeline.storage.whole import whole_folder

TEMPLATES = Path(__file__).parents[2] / "templates" / "report"
INDEX = "index.html"
TABLES = "table.*"
"""Files of ``python -m pipeline table``, which lie beside the report and outlive it."""
SIGNED = re.compile(r"[+-]?\d")


def write_report(book: Book, choice: Choice | None = None, folder: Path | None = None) -> Path:
    """Write ``report/BOOK/`` from whatever of the book has been made; returns the path of its index.html.

    The same artefacts and the same choice give the same bytes. An earlier report in the folder is replaced when the
    new one is whole.

    Args:
        book: the recipe book.
        choice: which images; by default 24 of each split, evenly spaced.
        folder: where to; by default ``report/BOOK``.

    Raises:
        DataError: nothing has been made yet, an image is gone, or the folder holds something that is no report.
        ConfigurationError: the choice is by an evaluation that the book does not have.
    """
    problems: list[str] = []
    columns = find_columns(book, problems)
    plots = book_plots(book, problems, label_prices(book))
    seeds, box_seeds, differences = seed_tables(book)
    tables = {"results": book_table(book), "boxes": box_table(book), "box_seeds": box_seeds}
    tables |= {"seeds": seeds, "differences": differences}
    if not (columns or any(table.cells for table in tables.values()) or any(plots.values())):
        raise DataError(
            "\n".join(
                [
                    f"{book.book.work}: expected CAMs, masks, trainings or evaluations to show, found nothing yet.",
                    *(f"Unusable: {problem}" for problem in problems),
                    f"Run the book first: {_command(book)}",
                ]
            )
        )
    with _swapped_in(folder or root_of(book)) as writing:
        gallery = _gallery(book, columns, choice or Choice(), writing)
        _write_page(writing, book, tables, {"plots": plots, **gallery}, problems)
    return (folder or root_of(book)) / INDEX


def _gallery(book: Book, columns: list[Column], choice: Choice, folder: Path) -> Plain:
    """The rows and what the page needs to filter and sort them; the pictures are written."""
    data = prepared(book)
    judges = find_judges(book, columns)
    by_split = default_judges(book, columns, judges, choice.by)
    splits = {f"{d.name}/{split}": _shown(d, split, columns) for d in data for split in d.catalogue.splits}
    splits = {place: ids for place, ids in splits.items() if ids}
    names = list(dict.fromkeys(name for d in data for name in d.catalogue.class_names))
    images = chosen_images(book, columns, by_split, choice, splits)
    rows = write_rows(RowWriter(folder, book.book.work, images, columns, judges, names))
    several = len({place.partition("/")[0] for place in splits}) > 1
    return {
        "classes": [{"name": name, "colour": hex_colour(label)} for label, name in enumerate(names, 1)],
        "splits": [_split(place, len(ids), by_split.get(place), several) for place, ids in splits.items()],
        "columns": _columns(columns, judges, rows),
        "evaluations": [{"name": judge.name, "column": judge.column} for judge in judges],
        "rows": rows,
    }


def _shown(data: DataSet, split: str, columns: Sequence[Column]) -> Sequence[str]:
    """The images of a split that a column has."""
    ids = data.catalogue.splits[split]
    stores = [data.store(column.key) for column in columns if (column.data, column.split) == (data.name, split)]
    if any(len(store) == len(ids) for store in stores):
        return ids
    held = {id for store in stores for id in store.ids}
    return [id for id in ids if id in held]


def _split(place: str, images: int, judge: Judge | None, several: bool) -> Plain:
    title = place if several else place.partition("/")[2]
    return {"key": place, "title": title, "images": images, "by": judge.name if judge else None}


def _columns(columns: Sequence[Column], judges: Sequence[Judge], rows: Sequence[Plain]) -> list[Plain]:
    """The columns of the gallery, ground truth last; each with the evaluation whose IoU its pictures bear."""
    judge_of = {judge.column: judge.name for judge in reversed(judges)}
    plain: list[Plain] = [
        {"key": c.key, "title": c.title, "name": c.name, "by": judge_of.get(c.key), "split": f"{c.data}/{c.split}"}
        for c in columns
    ]
    if any(TRUTH in row["cells"] for row in rows):
        plain.append({"key": TRUTH, "title": "ground truth", "name": "", "by": None, "split": None})
    return plain


def _write_page(
    folder: Path, book: Book, tables: Mapping[str, TextTable], data: Plain, problems: Sequence[str]
) -> None:
    """index.html and the files that it loads."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    assets = folder / "assets"
    assets.mkdir()
    (assets / "plotly.min.js").write_text(plotly_js(), encoding="utf-8")
    for file in sorted(TEMPLATES.glob("*.js")) + sorted(TEMPLATES.glob("*.css")):
        shutil.copyfile(file, assets / file.name)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content: dict[str, Any] = {
        "title": book.table.title or book.name,
        "book": book.name,
        "tables": tables,
        "numeric": {name: _numeric(table) for name, table in tables.items()},
        "state": book_state(book),
        "command": _command(book),
        "problems": problems,
        "warnings": [(stage, notice.text) for stage, notice in made_notices(book)],
        "data": data,
        "heat": heat_gradient(),
    }
    (folder / INDEX).write_text(environment.get_template("index.html.jinja").render(content), encoding="utf-8")


def _command(book: Book) -> str:
    """What makes everything that the book says."""
    return "python -m pipeline run" + (f" --book {book.book.path}" if book.book.path != "." else "")


def _numeric(results: TextTable) -> list[bool]:
    """Which columns of the table hold numbers, to be set flush right."""
    cells = [[str(row[index]) for row in results.cells] for index in range(len(results.columns))]
    return [any(c != NONE for c in column) and all(c == NONE or SIGNED.match(c) for c in column) for column in cells]


def heat_gradient() -> str:
    """The colours of heat maps, as stops of a CSS gradient."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return ", ".join(to_hex(colormaps["turbo"](step / 8)) for step in range(9))


@contextmanager
def _swapped_in(target: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of ``target`` in the end; what fails leaves no trace."""
    if target.exists() and not (target / INDEX).is_file() and (target.is_file() or _strangers(target)):
        raise DataError(f"{target} is there already and is no report (it has no {INDEX}). Move it away.")
    with whole_folder(target) as writing:
        yield writing
        for table in target.glob(TABLES):
            shutil.copy2(table, writing)


def _strangers(folder: Path) -> bool:
    return any(not path.match(TABLES) for path in folder.iterdir())
