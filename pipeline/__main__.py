"""The command line: ``python -m pipeline`` and ``weak2mask``."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from models.errors import ConfigurationError, Weak2MaskError

if TYPE_CHECKING:
    from pipeline.params import Book
    from pipeline.tracking import Log

app = typer.Typer(
    help="Weak labels in (image tags, boxes, points, scribbles), segmentation masks and a trained segmenter out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
BookOption = Annotated[str, typer.Option("--book", "-b", help="Folder of the recipe book.")]
StageName = Annotated[str, typer.Argument(help="Name of an entry of this section of params.yaml.")]
UNUSABLE = {
    errno.EACCES: "Expected a place that may be read and written. Change its permissions, or book.work.",
    errno.EROFS: "Expected a place that may be written. Set book.work to another folder.",
    errno.ENOSPC: "The disk is full. Make room (`dvc gc --workspace` drops what the books no longer need).",
    errno.EDQUOT: "The disk quota is used up. Make room, or set book.work to a folder elsewhere.",
    errno.ENOTDIR: "Expected a folder, found a file in its place. Move it away.",
    errno.EEXIST: "Expected a folder, found a file in its place. Move it away.",
}
"""What a machine may refuse, and the remedy: no bug of this project."""

JOBS, STAGES = "Jobs", "Stages (called by dvc.yaml)"


@app.command(rich_help_panel=JOBS)
def run(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages, e.g. evaluate@cam. Default: all.")] = None,
    book: BookOption = ".",
    force: Annotated[bool, typer.Option("--force", help="Run the stages even if nothing changed.")] = False,
) -> None:
    """Check the book, run its DAG with DVC, print the results table.

    Examples: ``python -m pipeline run``; ``python -m pipeline run evaluate@cam --book recipes/voc_mini``.
    """
    from pipeline import repro

    repro.run(_checked(book, files=True), targets or [], force=force)
    table(book)


@app.command(rich_help_panel=JOBS)
def check(book: BookOption = ".") -> None:
    """Validate the whole book: every name, option and input file. Takes about a second."""
    checked = _checked(book, files=True)
    print(f"{checked.book.params}: {len(list(checked.entries()))} stages, every name and option resolves.")


@app.command(rich_help_panel=JOBS)
def table(book: BookOption = ".") -> None:
    """Print the results table from the evaluations that are there."""
    from pipeline.table import print_results

    print_results(_checked(book))


@app.command(rich_help_panel=JOBS)
def gallery(
    book: BookOption = ".",
    images: Annotated[int, typer.Option(help="How many images of each split to show.")] = 12,
) -> None:
    """Write report/BOOK/index.html: images, CAMs, pseudo-masks, predictions and ground truth side by side."""
    from pipeline.gallery import write_book_gallery

    print(f"Open {write_book_gallery(_checked(book), images)}")


@app.command(rich_help_panel=JOBS)
def runs(book: BookOption = ".") -> None:
    """List each stage of dvc.lock with the MLflow run that made its output, also when it came from the cache."""
    from pipeline.table import print_runs

    print_runs(_checked(book))


@app.command(rich_help_panel=JOBS)
def link(
    source: Annotated[str, typer.Argument(help="Project-relative path that a book reads, e.g. data/voc_mini.")],
    target: Annotated[str, typer.Argument(help="Where the files are.")],
) -> None:
    """Make an input that lies elsewhere readable at the path that a book names."""
    from pipeline import repro

    repro.link(Path(source), Path(target))


@app.command(rich_help_panel=JOBS)
def export_png(
    name: Annotated[str, typer.Argument(help="masks/NAME or supervision/NAME of the book.")],
    out: Annotated[Path, typer.Argument(help="Folder to write to; must not hold files yet.")],
    book: BookOption = ".",
) -> None:
    """Write masks as palette PNG (VOC colours), one file an image."""
    from pipeline.repro import export_masks

    print(f"{export_masks(_checked(book), name, out)} masks in {out}")


@app.command(rich_help_panel=JOBS)
def mlflow(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000) -> None:
    """Open the recorded runs in MLflow's UI, on this machine only."""
    from pipeline.tracking import serve

    serve(port)


@app.command(rich_help_panel=STAGES)
def code(book: BookOption = ".") -> None:
    """Check the book and write the code fingerprint of every entry."""
    from pipeline.code import write_fingerprints

    checked = _checked(book)
    write_fingerprints(checked, Path(checked.book.work) / "code")


def _checked(folder: str, files: bool = False) -> Book:
    from pipeline.check import check as check_names
    from pipeline.check import check_files
    from pipeline.params import load_book
    from pipeline.repro import link_sources

    book = load_book(folder)
    check_names(book)
    if files:
        link_sources(book)
        check_files(book)
    return book


def _stage(verb: str, name: str, folder: str) -> None:
    """Run one binder as one tracked run."""
    from pipeline import tracking
    from pipeline.artifacts import artifact, kind_of
    from pipeline.params import load_book

    book = load_book(folder)
    entry = book.entry(verb, name)
    binder = import_module(f"pipeline.binders.{verb}")
    outputs = [artifact(book.book.work, kind_of(verb), name)]
    with tracking.run(f"{verb}@{name}", book.name, entry.model_dump(), outputs) as log:
        binder.run(book, name, log)
        _show(book, verb, name, log)


def _show(book: Book, verb: str, name: str, log: Log) -> None:
    """Give the tracker a few pictures of what a stage made."""
    from pipeline.gallery import sample_sheet
    from pipeline.tracking import enabled

    sheet = sample_sheet(book, verb, name) if enabled() else None
    if sheet is not None:
        log.picture(f"{name}.png", sheet)


def _add_stage(verb: str, summary: str) -> None:
    def command(name: StageName, book: BookOption = ".") -> None:
        _stage(verb, name, book)

    command.__doc__ = summary
    app.command(verb, rich_help_panel=STAGES)(command)


for _verb, _summary in {
    "prepare": "Find or make a data set and check every image.",
    "annotate": "Write supervision from published tags or ground-truth masks.",
    "import_annotations": "Write supervision from a file of boxes, points or scribbles.",
    "import_weights": "Turn a file of pretrained weights into a checkpoint.",
    "train": "Train a method; an interrupted training goes on where it was.",
    "export_cams": "Write the class activation maps of the tagged images.",
    "refine_cams": "Refine CAMs without training (dense CRF).",
    "make_pseudo_masks": "Turn CAMs into supervision by a background rule.",
    "predict_masks": "Write the masks that a trained segmenter predicts.",
    "evaluate": "Score CAMs, pseudo-masks or predictions against ground truth.",
}.items():
    _add_stage(_verb, _summary)


def main() -> None:
    """Run the command line; errors become one message and an exit code (2 configuration, 3 data, 1 the rest)."""
    try:
        app(prog_name="weak2mask" if Path(sys.argv[0]).name == "weak2mask" else "python -m pipeline")
    except Weak2MaskError as error:
        _leave(error.exit_code, f"error: {error}")
    except subprocess.CalledProcessError as error:
        _leave(error.returncode, "")
    except OSError as error:
        if error.errno not in UNUSABLE:
            _leave_bug(error)
        _leave(1, f"error: {error}\n{UNUSABLE[error.errno]} Finished stages are kept: run again.")
    except Exception as error:
        _leave_bug(error)


def _leave_bug(error: Exception) -> NoReturn:
    message = f"error: unexpected {type(error).__name__}: {error}\nThis is a bug: report it with the lines below."
    _leave(1, f"{message}\n{traceback.format_exc()}")


def _leave(code: int, message: str) -> NoReturn:
    """Print the message and exit; under ``run``, tell it the code, since DVC hides it."""
    if message:
        print(message, file=sys.stderr)
    if told := os.environ.get("WEAK2MASK_EXIT_FILE"):
        Path(told).write_text(str(code))
    raise SystemExit(code)


__all__ = ["ConfigurationError", "app", "main"]

if __name__ == "__main__":
    main()
