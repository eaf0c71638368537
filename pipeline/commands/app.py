"""What the commands share: the application, its options, completion, a checked book."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_name

if TYPE_CHECKING:
    from pipeline.book.params import Book

JOBS, RESULTS, USE, SERVICES, STAGES = "Jobs", "Results", "Use", "Services", "Stages (called by dvc.yaml)"
PANELS = (JOBS, RESULTS, USE, SERVICES, STAGES)


class _Panels(TyperGroup):
    """Lists the commands panel by panel, in whatever order their files were imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        panels = {name: getattr(command, "rich_help_panel", None) for name, command in self.commands.items()}
        return sorted(panels, key=lambda name: PANELS.index(panels[name]) if panels[name] in PANELS else len(PANELS))


app = typer.Typer(
    cls=_Panels,
    help="Weak labels in (image tags, boxes, points, scribbles), segmentation masks and a trained segmenter out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def book_to_run(folder: str, targets: Sequence[str] | None) -> Book:
    """The checked book in ``folder``, known to DVC from now on; says so where it was not.

    Raises:
        ConfigurationError: the book, a target or an input does not hold.
    """
    from pipeline.book.graph_file import GRAPH
    from pipeline.book.load import checked_book

    graph = Path(folder) / GRAPH.name
    known = graph.exists()
    book = checked_book(folder, files=True, targets=targets or [])
    if not known and graph.is_file():
        print(f"Written: {graph.as_posix()}, by which DVC's commands know this book. Commit it with its dvc.lock.")
    return book


def program() -> str:
    """What the user called, for the commands that are named to them."""
    return "weak2mask" if Path(sys.argv[0]).name == "weak2mask" else "python -m pipeline"


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command alone that is called; with all of them where it names none.

    Typer reads the signatures and docstrings of every command that it has, before it runs one.
    """
    named = next((word for word in arguments if not word.startswith("-")), None)
    called = [
        command
        for command in app.registered_commands
        if named == (command.name or get_command_name(getattr(command.callback, "__name__", "")))
    ]
    if not called:
        return app
    narrowed = copy(app)
    narrowed.registered_commands = called
    return narrowed


def complete_book(incomplete: str) -> list[str]:
    """Folders of books that begin so, for a shell's completion."""
    books = [".", *sorted(path.parent.as_posix() for path in Path("recipes").glob("*/params.yaml"))]
    return [book for book in books if book.startswith(incomplete)]


def complete_stage(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stages of the book that begin so: VERB@NAME, or NAME alone where the command is a verb."""
    verb = ctx.info_name or ""
    entries = _entries(ctx.params.get("book") or ".")
    names = [name for at, name in entries if at == verb] or [f"{at}@{name}" for at, name in entries]
    return [name for name in names if name.startswith(incomplete)]


def complete_checkpoint(ctx: typer.Context, incomplete: str) -> list[str]:
    """Trainings of the book that begin so."""
    entries = _entries(ctx.params.get("book") or ".")
    return [name for verb, name in entries if verb == "train" and name.startswith(incomplete)]


def _entries(folder: str) -> list[tuple[str, str]]:
    """(verb, name) of every stage; none of a book that does not hold, since a completion cannot complain."""
    from models.errors import ConfigurationError
    from pipeline.book.params import load_book

    try:
        return list(load_book(folder).entries())
    except (ConfigurationError, OSError):
        return []


BookOption = Annotated[
    str, typer.Option("--book", "-b", help="Folder of the recipe book.", autocompletion=complete_book)
]
TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Stages, e.g. evaluate@cam. Default: book.targets, or all.", autocompletion=complete_stage),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Run the stages even if nothing changed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed_version

        typer.echo(f"weak2mask {installed_version('weak2mask')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass
