"""Run a book, check it, say where its inputs lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from models.errors import ConfigurationError
from pipeline.commands.app import JOBS, BookOption, ForceOption, JsonOption, TargetsArgument, app, checked_book
from pipeline.commands.results import table


@app.command(rich_help_panel=JOBS)
def run(
    targets: TargetsArgument = None,
    book: BookOption = ".",
    force: ForceOption = False,
) -> None:
    """Check the book, run its DAG with DVC, print the results table.

    Examples: ``python -m pipeline run``; ``python -m pipeline run evaluate@cam --book recipes/voc_mini``.
    """
    from pipeline import repro

    repro.run(checked_book(book, files=True, targets=targets or []), targets or [], force=force)
    table(book)


@app.command(rich_help_panel=JOBS)
def check(book: BookOption = ".", as_json: JsonOption = False) -> None:
    """Validate the whole book: every name, option and input file. Takes about a second.

    With --json: {"book", "ok", "stages", "errors"}; the exit code is the same.

    Example: ``python -m pipeline check --book recipes/voc_mini``.
    """
    try:
        checked = checked_book(book, files=True)
    except ConfigurationError as error:
        if as_json:
            print(json.dumps({"book": book, "ok": False, "stages": [], "errors": str(error).splitlines()}, indent=2))
            raise typer.Exit(error.exit_code) from None
        raise
    stages = [f"{verb}@{name}" for verb, name in checked.entries()]
    said = f"{checked.book.params}: {len(stages)} stages, every name and option resolves."
    print(json.dumps({"book": book, "ok": True, "stages": stages, "errors": []}, indent=2) if as_json else said)


@app.command(rich_help_panel=JOBS)
def link(
    source: Annotated[str, typer.Argument(help="Project-relative path that a book reads, e.g. data/voc_mini.")],
    target: Annotated[str, typer.Argument(help="Where the files are.")],
) -> None:
    """Make an input that lies elsewhere readable at the path that a book names.

    Example: ``python -m pipeline link data/voc_mini /data/voc_mini``.
    """
    from pipeline import repro

    repro.link(Path(source), Path(target))
