"""What came out: the table, the pictures, the runs, masks for other tools."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.book.load import checked_book
from pipeline.commands.app import RESULTS, BookOption, JsonOption, app


@app.command(rich_help_panel=RESULTS)
def table(
    book: BookOption = ".",
    as_json: JsonOption = False,
    pull: Annotated[bool, typer.Option("--pull", help="Fetch the evaluations from the DVC remote first.")] = False,
    filled: Annotated[bool, typer.Option("--filled", help="Show only recipes that have a number.")] = False,
) -> None:
    """Print the results table, as papers have it, and write it to report/BOOK/table.{md,csv,tex,json}.

    Nothing runs: numbers that are out of date are marked, and for missing ones it says what to run.

    Examples: ``python -m pipeline table``; ``python -m pipeline table --book recipes/voc_mini --json | jq .recipes``.
    """
    from pipeline.results.tables.files import to_json, write_table
    from pipeline.results.tables.paper import paper_table
    from pipeline.results.tables.results import print_table
    from pipeline.running.pull import pull_evaluations

    checked = checked_book(book)
    if pull:
        pull_evaluations(checked)
    results = paper_table(checked)
    if as_json:
        print(to_json(results), end="")
    else:
        print_table(results, filled=filled)
    try:
        files = write_table(results)
    except OSError as error:  # somebody else's project, which may be read
        print(f"warning: no files are written under report/: {error.strerror}.", file=sys.stderr)
        return
    if not as_json:
        print(f"Written: {', '.join(path.as_posix() for path in files.values())}")


@app.command(rich_help_panel=RESULTS)
def report(
    book: BookOption = ".",
    images: Annotated[int, typer.Option(help="How many images of each split the gallery shows.")] = 24,
    pick: Annotated[
        Literal["even", "worst", "best", "both"], typer.Option(help="Which images: spread evenly, or by IoU.")
    ] = "even",
    by: Annotated[
        str | None, typer.Option(help="Evaluation whose IoU counts, e.g. full_val. Default: each split's.")
    ] = None,
) -> None:
    """Write report/BOOK/: results, plots and a gallery in one folder, to open in a browser, offline too.

    Examples: ``python -m pipeline report``; ``python -m pipeline report --book recipes/voc_mini --images 48``;
    ``python -m pipeline report --pick worst --by segmenter_val``.
    """
    from pipeline.book.links import link_sources
    from pipeline.results.report.choosing import Choice
    from pipeline.results.report.page import write_report

    choice = Choice(images, pick, by)
    checked = checked_book(book)
    link_sources(checked)
    print(f"Open {write_report(checked, choice)}")


@app.command(rich_help_panel=RESULTS)
def runs(book: BookOption = ".", as_json: JsonOption = False) -> None:
    """List each stage of dvc.lock with the MLflow run that made its output, also when it came from the cache.

    Examples: ``python -m pipeline runs``; ``python -m pipeline runs --book recipes/voc_mini --json``.
    """
    from pipeline.results.tables.results import print_runs
    from pipeline.tracking.runs import find_runs

    checked = checked_book(book)
    if as_json:
        stages = find_runs(Path(checked.book.path) / "dvc.lock")
        print(json.dumps([asdict(stage) for stage in stages], indent=2))
    else:
        print_runs(checked)


@app.command(rich_help_panel=RESULTS)
def export_png(
    name: Annotated[str, typer.Argument(help="masks/NAME or supervision/NAME of the book.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to; must not hold files yet.")],
    book: BookOption = ".",
) -> None:
    """Write masks as palette PNG (VOC colours), one file an image.

    Example: ``python -m pipeline export-png masks/segmenter my_masks``.
    """
    from pipeline.inference.export_png import export_masks

    print(f"{export_masks(checked_book(book), name, out)} masks in {out}")
