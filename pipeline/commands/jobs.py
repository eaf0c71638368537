"""Run a book, check it, say where its inputs lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors import ConfigurationError
from pipeline.commands.app import JOBS, BookOption, ForceOption, JsonOption, TargetsArgument, app, checked_book
from pipeline.commands.results import table

if TYPE_CHECKING:
    from pipeline.dry_run import Limits


@app.command(rich_help_panel=JOBS)
def run(
    targets: TargetsArgument = None,
    book: BookOption = ".",
    force: ForceOption = False,
    max_steps: Annotated[int | None, typer.Option(help="Dry run: optimiser steps of each training.")] = None,
    limit: Annotated[int | None, typer.Option(help="Dry run: images of each split.")] = None,
    max_batch: Annotated[int | None, typer.Option(help="Dry run: images of a training batch.")] = None,
    precision: Annotated[str | None, typer.Option(help="Dry run: of trainings, such as bf16-mixed.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every stage of the book, not its targets.")] = False,
) -> None:
    """Check the book, run its DAG with DVC, print the results table.

    With --max-steps, --limit or --max-batch: a dry run. Every stage runs once, in a scratch folder and without DVC,
    on the book's networks and crops; weights that are missing are random. Nothing of the book itself changes.

    Examples: ``python -m pipeline run``; ``python -m pipeline run evaluate@cam --book recipes/voc_mini``;
    ``python -m pipeline run --max-steps 2 --limit 8 --book recipes/voc12``.
    """
    from pipeline import repro

    if max_steps is not None or limit is not None or max_batch is not None:
        from pipeline.dry_run import Limits

        _dry_run(book, targets or [], everything, Limits(max_steps, limit, max_batch, precision))
        return
    if everything:
        targets = [f"{verb}@{name}" for verb, name in checked_book(book).entries()]
    repro.run(checked_book(book, files=True, targets=targets or []), targets or [], force=force)
    table(book)


def _dry_run(folder: str, targets: list[str], everything: bool, limits: Limits) -> None:
    from pipeline import dry_run
    from pipeline.check import check as check_names
    from pipeline.repro import link_sources

    book = checked_book(folder)
    nodes = dry_run.targets_of(book, targets, everything)
    link_sources(book)
    for name in dict.fromkeys(name for verb, name in nodes if verb == "prepare"):
        if not Path(root := book.prepare[name].root).exists():
            raise ConfigurationError(
                f"prepare.{name}.root: {root} does not exist. Remedy: link the data set (python -m pipeline link "
                f"{root} /where/it/is), or make images to try with: python -m benchmarks.devkit {root}"
                f"{' --coco' if book.prepare[name].reader == 'coco' else ''} --images 40 --val 16"
            )
    derived, absent = dry_run.derive(book, limits)
    check_names(derived)
    print(f"Dry run of {len(nodes)} stages in {derived.book.path}.", flush=True)

    def told(ran: dry_run.Ran) -> None:
        numbers = f"{ran.seconds:7.1f} s {ran.peak_gib:6.2f} GiB" if ran.seconds else " " * 20
        note = ran.note.replace("\n", "\n    ")
        print(f"{ran.state:8}{numbers}  {ran.stage}{f': {note}' if note else ''}", flush=True)

    results = dry_run.run(derived, nodes, absent, told)
    counts = {state: sum(result.state == state for result in results) for state in ("ran", "failed", "skipped")}
    total, peak = sum(result.seconds for result in results), max(result.peak_gib for result in results)
    print(
        f"{counts['ran']} ran, {counts['failed']} failed, {counts['skipped']} skipped; {total / 60:.1f} minutes, "
        f"at most {peak:.1f} GiB. {derived.book.path}/dry_run.json"
    )
    if counts["failed"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=JOBS)
def check(
    book: BookOption = ".",
    inputs: Annotated[bool, typer.Option("--inputs", help="Missing input files are errors too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate the whole book: every name and option; input files that are not there are listed. About a second.

    With --json: {"book", "ok", "stages", "missing", "errors"}; the exit code is the same.

    Example: ``python -m pipeline check --book recipes/voc_mini``.
    """
    from pipeline.check import check_files, missing_files
    from pipeline.repro import link_sources

    try:
        checked = checked_book(book)
        link_sources(checked)
        if inputs:
            check_files(checked)
    except ConfigurationError as error:
        if as_json:
            told = {"book": book, "ok": False, "stages": [], "missing": [], "errors": str(error).splitlines()}
            print(json.dumps(told, indent=2))
            raise typer.Exit(error.exit_code) from None
        raise
    stages = [f"{verb}@{name}" for verb, name in checked.entries()]
    missing = missing_files(checked)
    if as_json:
        print(json.dumps({"book": book, "ok": True, "stages": stages, "missing": missing, "errors": []}, indent=2))
        return
    print(f"{checked.book.params}: {len(stages)} stages, every name and option resolves.")
    if missing:
        print("Not there yet; a run asks for what its stages need:\n" + "\n".join(missing))


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
