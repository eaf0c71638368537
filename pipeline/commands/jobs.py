"""Run a book, check it, say where its inputs lie."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors import ConfigurationError, closest
from pipeline.book.load import checked_book
from pipeline.commands.app import (
    JOBS,
    BookOption,
    ForceOption,
    JsonOption,
    TargetsArgument,
    app,
    book_to_run,
    complete_book,
    complete_stage,
)
from pipeline.commands.results import table
from pipeline.problems.notices import first_lines

if TYPE_CHECKING:
    from pipeline.book.params import Book
    from pipeline.running.dry_run.limits import Limits

DRY = "Dry run"
SHOWN = 5
"""Missing inputs that ``check`` lists."""
CHANGES = 12
"""Changed entries that ``expand`` lists."""
OTHERS = "  and {} more (--json has all)"
MaxStepsOption = Annotated[
    int | None,
    typer.Option("--max-steps", rich_help_panel=DRY, help="At most so many optimiser steps in each training."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", rich_help_panel=DRY, help="The first so many images of each split.")
]
MaxBatchOption = Annotated[
    int | None, typer.Option("--max-batch", rich_help_panel=DRY, help="At most so many images in a training batch.")
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", rich_help_panel=DRY, help="Precision of networks, e.g. bf16-mixed.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", rich_help_panel=DRY, help="Keep stages that ran before and are unchanged.")
]
KeptArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Stages, e.g. evaluate@cam. Default: all that ran.", autocompletion=complete_stage),
]
EverythingOption = Annotated[bool, typer.Option("--all", help="Every stage, not only the book's main chain.")]


@app.command(rich_help_panel=JOBS)
def run(
    targets: TargetsArgument = None,
    book: BookOption = ".",
    force: ForceOption = False,
    max_steps: MaxStepsOption = None,
    limit: LimitOption = None,
    max_batch: MaxBatchOption = None,
    precision: PrecisionOption = None,
    resume: ResumeOption = False,
    everything: EverythingOption = False,
) -> None:
    """Check a book, run its stages with DVC as far as needed, and print the results table.

    With --max-steps, --limit or --max-batch: a dry run. Every stage runs once, one after the other, without DVC, in
    work/dry_run/BOOK, on the book's networks and crops; weights that are missing are random. Nothing of the book itself
    changes. dry_run.json there has seconds and memory; the exit code is 1 if a stage failed. --resume goes on with a
    dry run that was stopped or in which a stage failed.

    Examples: ``python -m pipeline run``; ``python -m pipeline run evaluate@cam --book recipes/voc_mini``;
    ``python -m pipeline run --max-steps 2 --limit 8 --book recipes/voc12``.
    """
    from pipeline.compute.runtime import workers
    from pipeline.running import repro
    from pipeline.running.times import announcement

    if max_steps is not None or limit is not None or max_batch is not None:
        from pipeline.running.dry_run.limits import Limits

        if force and resume:
            raise ConfigurationError(
                "--force runs every stage, --resume keeps those that ran before: expected one of them, found both. "
                "A dry run without --resume runs every stage anyway."
            )
        if everything:
            _no_targets(targets)
        bounds = Limits(max_steps, limit, max_batch, precision)
        _dry_run(checked_book(book), targets or [], bounds, everything, resume)
        return
    if precision is not None or resume:
        raise ConfigurationError(
            f"{'--resume' if resume else '--precision'} belongs to a dry run: expected --max-steps, --limit or "
            f"--max-batch too.{' A run goes on where it ended without it.' if resume else ''}"
        )
    if everything:
        _no_targets(targets)
        targets = [f"{verb}@{name}" for verb, name in checked_book(book).entries()]
    checked = book_to_run(book, targets)
    print(announcement(checked, targets or checked.book.targets, max(1, workers())), flush=True)
    repro.run(checked, targets or [], force=force)
    table(book, filled=True)


def _no_targets(targets: list[str] | None) -> None:
    if targets:
        raise ConfigurationError(f"--all runs every stage: expected no targets beside it, found {', '.join(targets)}.")


def _dry_run(book: Book, targets: list[str], limits: Limits, everything: bool, resume: bool) -> None:
    from rich.console import Console

    from pipeline.book.links import sources_for_now
    from pipeline.running.dry_run.run import dry_run, state_counts, summary_table

    with sources_for_now(book):
        say = partial(print, flush=True)
        ended, summary = dry_run(book, targets, limits, everything=everything, resume=resume, say=say)
    console = Console(highlight=False)
    if not console.is_terminal:  # 80 columns by default, which folds the names
        console = Console(width=120, highlight=False)
    console.print(summary_table(ended))
    by_state = state_counts(ended)
    print(", ".join(f"{count} {state}" for state, count in by_state.items()) + f". Written: {summary.as_posix()}")
    if by_state.get("failed"):
        print("The same command with --resume keeps what ran.")
        raise typer.Exit(1)


@app.command(rich_help_panel=JOBS)
def check(
    book: BookOption = ".",
    inputs: Annotated[bool, typer.Option("--inputs", help="Missing input files are errors too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every name and option of a book, and list input files that are missing. It takes about a second.

    Data warnings of stages that have run are shown again.
    With --json: {"book", "ok", "stages", "missing", "errors", "warnings"}; the exit code is the same.

    Example: ``python -m pipeline check --book recipes/voc_mini``.
    """
    from pipeline.book.check_inputs import check_files, missing_files
    from pipeline.book.graph_file import check_graph_file
    from pipeline.book.links import link_sources
    from pipeline.book.warnings import made_notices

    try:
        checked = checked_book(book)
        check_graph_file(Path(checked.book.path))
        link_sources(checked)
        if inputs:
            check_files(checked)
    except ConfigurationError as error:
        if as_json:
            errors = str(error).splitlines()
            print(json.dumps({"book": book, "ok": False, "stages": [], "missing": [], "errors": errors}, indent=2))
            raise typer.Exit(error.exit_code) from None
        raise
    stages = [f"{verb}@{name}" for verb, name in checked.entries()]
    missing = missing_files(checked)
    if as_json:
        warned = [{"stage": stage, **asdict(notice)} for stage, notice in made_notices(checked)]
        content = {"book": book, "ok": True, "stages": stages, "missing": missing, "errors": [], "warnings": warned}
        print(json.dumps(content, indent=2))
        return
    print(f"{checked.book.params}: {len(stages)} stages, every name and option resolves.")
    if missing:
        print("Not there yet; a run asks for what its stages need:\n" + "\n".join(first_lines(missing, SHOWN, OTHERS)))
    _print_warnings(checked)


def _print_warnings(book: Book) -> None:
    """What the stages that have run warned of."""
    from pipeline.book.warnings import made_notices

    warned = list(made_notices(book))
    if warned:
        lines = first_lines([f"  {stage}: {notice.text}" for stage, notice in warned], SHOWN, OTHERS)
        print(f"Warnings of what has been made ({len(warned)}):\n" + "\n".join(lines))


@app.command(rich_help_panel=JOBS)
def expand(
    book: BookOption = ".",
    stale: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if params.yaml is out of date.")
    ] = False,
) -> None:
    """Write the params.yaml of a book from its book.yaml, which is the file to edit; say which entries changed.

    A book without book.yaml has nothing to expand: edit its params.yaml.

    Examples: ``python -m pipeline expand --book recipes/mine``; in a pre-commit hook
    ``python -m pipeline expand --check --book recipes/mine``.
    """
    from pipeline.book.agreement import book_option
    from pipeline.new_book.expanding import expand_book

    differing = expand_book(book, write=not stale)
    file = (Path(book) / "params.yaml").as_posix()
    if not differing:
        print(f"{file}: up to date.")
        return
    print(f"{file}: {'out of date' if stale else 'written'}.")
    print("\n".join(first_lines([f"  {one}" for one in differing], CHANGES, "  and {} more")))
    if stale:
        print(f"Remedy: python -m pipeline expand{book_option(book)}")
        raise typer.Exit(1)


@app.command(rich_help_panel=JOBS)
def link(
    source: Annotated[str, typer.Argument(help="Project-relative path that a book reads, e.g. data/voc_mini.")],
    target: Annotated[str, typer.Argument(help="Where the files are.")],
) -> None:
    """Make the path of an input that a book names a link to where the files are.

    Example: ``python -m pipeline link data/voc_mini /data/voc_mini``.
    """
    from pipeline.book import links

    links.make_link(Path(source), Path(target))


@app.command(rich_help_panel=JOBS)
def keep(targets: KeptArgument = None, book: BookOption = ".") -> None:
    """Keep results over an edit of the code that changes none of their numbers, so that no stage runs again for it.

    After an edit or an upgrade every stage runs again whose code may compute something else. Where you know that it
    does not (a new option whose default is what was before), this has DVC record the new code beside the old results.
    You vouch for it: run one of the stages in another clone, and compare the `md5` of its outputs in dvc.lock. With
    targets: these stages, and what they stand on; else all that ran. So name what stands before a step whose numbers
    the edit does change. Stages whose settings or inputs have changed too run again.

    Examples: ``python -m pipeline keep --book recipes/voc_mini``;
    ``python -m pipeline keep train@classifier --book recipes/voc_mini``.
    """
    from pipeline.running.keep import keep as keep_results

    done = keep_results(book_to_run(book, targets), targets or [])
    verbs = Counter(stage.partition("@")[0] for stage in done.kept)
    of_each = ", ".join(f"{count} {verb}" for verb, count in verbs.items())
    print(f"Kept, with the code of now: {of_each}." if done.kept else "Nothing to keep.")
    left = [f"  {stage} {reason}" for stage, reason in done.left.items()]
    if left:
        print("\n".join(["These run again all the same:", *first_lines(left, CHANGES, "  and {} more")]))


@app.command(rich_help_panel=JOBS)
def refresh(
    books: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of books. Default: all below recipes/ that were run.", autocompletion=complete_book
        ),
    ] = None,
) -> None:
    """Copy the project's dvc.yaml into the folders of books: after an edit of it, or where a copy is stale.

    A book gets its copy when `run`, `flow` or `serve` first runs it. This command writes it for a plain `dvc repro`.

    Examples: ``python -m pipeline refresh``; ``python -m pipeline refresh recipes/mine``.
    """
    from pipeline.book.graph_file import GRAPH, PACKAGED, write_graph, write_packaged
    from pipeline.book.graph_file import books as all_books
    from pipeline.compute.project import ROOT_EXPECTED, is_root

    if not is_root(Path()):
        raise ConfigurationError(f"{Path.cwd()}: {ROOT_EXPECTED}. Run this there.")
    folders = [Path(book) for book in books or ()] or [
        folder for folder in all_books() if any((folder / name).exists() for name in (GRAPH.name, "dvc.lock"))
    ]
    for folder in folders:
        if not (folder / "params.yaml").is_file():
            known = [".", *(path.as_posix() for path in all_books())]
            raise ConfigurationError(f"No recipe book at {folder}/params.yaml.{closest(folder.as_posix(), known)}")
    written = [PACKAGED.relative_to(Path.cwd())] if write_packaged() else []
    written += [folder / GRAPH.name for folder in folders if write_graph(folder)]
    print("\n".join(f"Written: {path.as_posix()}" for path in written) or f"Nothing to do, books: {len(folders)}.")
