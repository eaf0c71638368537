"""The files of a book's table: Markdown to read, CSV and JSON for machines, LaTeX for a paper."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.book.published import COLUMNS
from pipeline.results.tables import localisations
from pipeline.results.tables.circumstances import together
from pipeline.results.tables.comparisons import comparison_csv, comparison_json
from pipeline.results.tables.latex import latex
from pipeline.results.tables.layout import OURS, PUBLISHED, Cell, Field, fields, sentence
from pipeline.results.tables.repeats import BOX_SCORES, SCORES, repeat_json
from pipeline.results.tables.rows import Number, PaperRow, PaperTable
from pipeline.results.tables.text import (
    TextTable,
    box_repeat_table,
    comparison_table,
    evaluation_table,
    localisation_table,
    repeat_table,
)
from pipeline.storage.csv_cells import plain_cell

CSV_FIELDS = (
    "recipe", "label", "origin", "column", "value", "data", "split", "images", "evaluation", "of", "up_to_date",
    "labels_at_inference", "init", "trained_on", "proposals", "scales", "flip", "crf", "thresholds", "mlflow_run",
    "mlflow_url", "md5_metrics", "md5_output", "source",
)  # fmt: skip


def write_table(table: PaperTable) -> dict[str, Path]:
    """Write ``report/BOOK/table.{md,csv,tex,json}``; returns format -> path. The same table gives the same bytes."""
    folder = Path("report") / table.book
    folder.mkdir(parents=True, exist_ok=True)
    content = {"md": markdown(table), "csv": long_csv(table), "tex": latex(table), "json": to_json(table)}
    paths = {ending: folder / f"table.{ending}" for ending in content}
    for ending, text in content.items():
        paths[ending].write_text(text, encoding="utf-8", newline="")
    return paths


def recipe_table(table: PaperTable, groups: Sequence[str] = (OURS, PUBLISHED)) -> TextTable:
    """The recipe table as text cells, for a terminal or a page: ours, published, or both side by side."""
    shown = [field for field in fields(table) if field.group in ("", *groups)]
    cells = [tuple(_text(field.cell(row)) for field in shown) for row in table.rows if OURS in groups or row.published]
    left = tuple(index for index, field in enumerate(shown) if field.key in ("recipe", "published"))
    return TextTable(
        table.title, tuple(field.heading for field in shown), tuple(cells), (*table.notes, *table.todo), left
    )


def markdown(table: PaperTable) -> str:
    """Recipe table with a footnote for each number, then the table of the evaluations."""
    shown = fields(table)
    rule = ["---" if field.key in ("recipe", "published") else "---:" for field in shown]
    rows = [[_cited(field.cell(row)) for field in shown] for row in table.rows]
    lines = [_line(row) for row in ([_escaped(field.heading) for field in shown], rule, *rows)]
    notes = [f"- {note}" for note in (*table.notes, *map(_escaped, table.warnings), *table.todo)]
    feet = [f"[^{key}]: {text}" for key, text in _footnotes(table, shown).items()]
    title = f"# {table.title}\n\nData: {table.data}."
    evaluations = "## Evaluations\n\n" + evaluation_table(table).markdown()
    if table.repeats:
        several = repeat_table(table)
        evaluations = f"## {several.title}\n\n{several.markdown()}\n{evaluations}"
    if table.comparisons:
        compared = comparison_table(table)
        evaluations = f"## {compared.title}\n\n{compared.markdown()}\n{evaluations}"
    if table.box_repeats:
        several = box_repeat_table(table)
        evaluations += f"\n## {several.title}\n\n{several.markdown()}"
    if table.localised:
        boxes = localisation_table(table.localised)
        evaluations += f"\n## {boxes.title}\n\n{boxes.markdown()}"
    return "\n\n".join(["\n".join(part) if isinstance(part, list) else part.rstrip() for part in
                        (title, lines, notes, evaluations, feet) if part]) + "\n"  # fmt: skip


def long_csv(table: PaperTable) -> str:
    """One line for each number, ours and published, with its provenance."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain_cell(value) for key, value in line.items()} for line in _all_csv_lines(table))
    return text.getvalue()


def _all_csv_lines(table: PaperTable) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        yield from ({"recipe": row.key, "label": row.label} | line for line in _csv_lines(row))
    every = (*((row, SCORES) for row in table.repeats), *((row, BOX_SCORES) for row in table.box_repeats))
    for several, scores in every:
        named = {"recipe": several.key, "label": several.label, "origin": OURS, "up_to_date": not several.stale}
        named["evaluation"] = "; ".join(number.evaluation for number in several.numbers)
        for score in scores:
            for kind, value in zip(("mean", "std"), several.spread(score), strict=True):
                if value is not None:
                    yield named | {"column": f"{score}_{kind}", "value": value}
    for compared in table.comparisons:
        yield from comparison_csv(compared)
    yield from localisations.csv_lines(table.localised)


def to_json(table: PaperTable) -> str:
    """Everything, as one JSON object: recipes, numbers by evaluation, published numbers, notes."""
    content = {
        "book": table.book,
        "title": table.title,
        "data": table.data,
        "bound": table.bound,
        "made": together(number.provenance["made"] for number in table.numbers.values()),
        "columns": COLUMNS,
        "recipes": [_recipe(row) for row in table.rows],
        "repeats": [repeat_json(row) for row in table.repeats],
        "box_repeats": [repeat_json(row, BOX_SCORES) for row in table.box_repeats],
        "comparisons": [comparison_json(row) for row in table.comparisons],
        "evaluations": {name: _number(number, table.shares[name]) for name, number in table.numbers.items()},
        "localisations": localisations.localisations_json(table.localised),
        "missing": table.missing,
        "notes": table.notes,
        "warnings": table.warnings,
        "todo": table.todo,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _text(cell: Cell) -> str:
    return cell.text + cell.mark if cell.text else "-"


def _cited(cell: Cell) -> str:
    return _escaped(cell.text) + cell.mark + (f"[^{cell.key}]" if cell.key else "")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _footnotes(table: PaperTable, shown: list[Field]) -> dict[str, str]:
    """Key -> text, in the order in which the table cites them."""
    cells = [cell for row in table.rows for field in shown if (cell := field.cell(row)).key]
    notes: dict[str, str] = {}
    for cell in cells:
        if cell.number is not None:
            notes[cell.key] = _escaped(sentence(cell.number)) + "; " + _links(cell.number)
        elif cell.published is not None:
            note = f" ({cell.published.note})" if cell.published.note else ""
            notes[cell.key] = _escaped(f"{cell.published.source}{note}")
    return notes


def _links(number: Number) -> str:
    runs = [
        f"`{stage}` [{run['run'][:8]}]({run['url']})" if run else f"`{stage}` no run"
        for stage, run in number.provenance["mlflow"].items()
    ]
    hashes = [f"`{name}` {md5 or 'none'}" for name, md5 in number.provenance["dvc"].items()]
    stale = "".join(f". Out of date: {_escaped(reason)}" for reason in number.stale)
    return f"MLflow: {', '.join(runs)}; DVC: {', '.join(hashes)}{stale}."


def _csv_lines(row: PaperRow) -> Iterator[dict[str, Any]]:
    for column, number in row.cells.items():
        yield _csv_line(column, number.value, number)
    if row.last is not None:
        yield _csv_line("boundary_f", float(row.last.metrics["boundary_f"]), row.last)
    if row.last is not None and row.share is not None:
        yield _csv_line("percent_of_full", row.share, row.last)
    for column, published in row.published.numbers.items() if row.published else ():
        source = f"{published.source}. {published.note}" if published.note else published.source
        place = {"data": row.published_data, "split": published.split, "source": source}
        yield {"origin": PUBLISHED, "column": column, "value": published.value, **place}


def _csv_line(column: str, value: float, number: Number) -> dict[str, Any]:
    provenance = number.provenance
    run = next((mlflow_run for mlflow_run in provenance["mlflow"].values() if mlflow_run), {"run": "", "url": ""})
    md5_metrics, md5_output = provenance["dvc"].values()
    same = ("data", "split", "images", "of", "labels_at_inference", "flip")
    nested = {key: json.dumps(provenance[key]) if provenance[key] else "" for key in ("scales", "crf", "thresholds")}
    return {
        "origin": OURS, "column": column, "value": value, "evaluation": number.evaluation,
        "up_to_date": not number.stale, "init": "; ".join(provenance["init"]),
        "trained_on": "; ".join(f"{each['name']}: {each['labels']}" for each in provenance["trained"]),
        "proposals": "; ".join(f"{each['name']}: seen {each['seen']}" for each in provenance["proposals"]),
        "mlflow_run": run["run"], "mlflow_url": run["url"], "md5_metrics": md5_metrics, "md5_output": md5_output,
        **{key: provenance[key] for key in same}, **nested,
    }  # fmt: skip


def _recipe(row: PaperRow) -> dict[str, Any]:
    published = row.published.model_dump() | {"data": row.published_data} if row.published else None
    last = row.last
    return {
        "key": row.key,
        "label": row.label,
        "evaluations": dict(row.names),
        "miou": {column: number.value for column, number in row.cells.items()},
        "boundary_f": last.metrics["boundary_f"] if last else None,
        "percent_of_full": row.share,
        "up_to_date": not any(number.stale for number in row.cells.values()),
        "published": published,
    }


def _number(number: Number, share: float | None) -> dict[str, Any]:
    return {
        "metrics": number.metrics,
        "percent_of_full": share,
        "out_of_date": number.stale,
        "provenance": number.provenance,
    }
