"""The page of the commands: from the help of the command line itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import typer

import pipeline.__main__  # noqa: F401 (importing it adds the commands)
from docs.tools.tables import table
from docs.tools.types import in_words
from pipeline.commands.app import JOBS, PANELS, RESULTS, SERVICES, STAGES, USE, app

HEAD = """# Commands

This page lists every command with its arguments, options and examples: what `python -m pipeline COMMAND --help` prints.
Run commands in the project's root. `weak2mask COMMAND` is the same program, and
`weak2mask --install-completion` adds completion to your shell.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | a stage failed, the disk refused, or a bug; the message says which |
| 2 | the book, a name or an option is wrong: mostly before anything runs |
| 3 | data are wrong: files that are missing, damaged or contradict each other |
| 75 | the machine is busy, a stage was killed, or a service is late: try again |
"""
TEXTS = {
    JOBS: "Run a book, check it, say where its inputs are.",
    RESULTS: "Look at what came out.",
    USE: "Begin a book, and use what it trained.",
    SERVICES: "Prefect, MLflow and Dask on this machine.",
    STAGES: "One stage each. `dvc.yaml` calls them; call one yourself to make a single artefact again.",
}
EXAMPLE = re.compile(r"^Examples?:\s*", re.M)
CODE = re.compile(r"``(.+?)``", re.S)


def page() -> str:
    """The whole page."""
    group = typer.main.get_command(app)
    commands: dict[str, Any] = group.commands  # type: ignore[attr-defined]
    blocks = [HEAD]
    for panel in PANELS:
        blocks += [f"## {panel.partition(' (')[0]}", TEXTS[panel]]
        for name, command in sorted(commands.items(), key=_place):
            if command.rich_help_panel == panel:
                blocks += _command(name, command)
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"


def _place(item: tuple[str, Any]) -> tuple[str, int]:
    """Where a command is written: the page is the same in whatever order the files were imported."""
    callback = inspect.unwrap(item[1].callback)
    return callback.__module__, callback.__code__.co_firstlineno


def _command(name: str, command: Any) -> Iterator[str]:
    text, _, examples = _split(inspect.cleandoc(command.callback.__doc__ or ""))
    yield f"### `{name}`"
    yield text.replace("``", "`")
    shown = [parameter for parameter in command.params if parameter.name != "help"]
    words = [_word(one) for one in shown if one.param_type_name == "argument"]
    yield "```sh\n" + " ".join(["python -m pipeline", name, "[OPTIONS]", *words]) + "\n```"
    if shown:
        hints = get_type_hints(command.callback, include_extras=True)
        rows = [_row(one, hints[one.name]) for one in shown]
        yield table(("argument or option", "value", "default", "meaning"), rows)
    if lines := [" ".join(code.split()) for code in CODE.findall(examples)]:
        yield "```sh\n" + "\n".join(lines) + "\n```"


def _word(one: Any) -> str:
    """An argument in a line of usage."""
    word = str(one.name).upper()
    word = word if one.required else f"[{word}]"
    return f"{word}..." if one.nargs == -1 else word


def _split(text: str) -> tuple[str, str, str]:
    match = EXAMPLE.search(text)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")


def _row(one: Any, declared: Any) -> tuple[str, str, str, str]:
    """The line of one argument or option, whose annotation is ``declared``."""
    argument = one.param_type_name == "argument"
    names = f"`{one.name.upper()}`" if argument else ", ".join(f"`{name}`" for name in one.opts)
    default = "required" if one.required else "" if one.default in (None, [], ()) else f"`{_plain(one.default)}`"
    kind, *information = get_args(declared)
    value = "" if getattr(one, "is_flag", False) and kind is bool else _value(kind, information[0])
    return names, value, "" if not value else default, one.help or ""


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(kind: Any, information: Any) -> str:
    """What a value must be; a command that may be called without one says so by its default."""
    choices = [one for one in get_args(kind) if one is not type(None)] if type(None) in get_args(kind) else [kind]
    words = in_words(choices[0]).replace("Path", "path")
    words += f", from {information.min}" if information.min is not None else ""
    words += f" to {information.max}" if information.max is not None else ""
    several = words.startswith("list of ")
    return f"{words.removeprefix('list of ')}, several" if several else words
