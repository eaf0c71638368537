"""Run a book's DAG with DVC, and link what lies outside the project to where the book reads it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

from models.errors import TransientError
from pipeline.book.check_inputs import check_targets
from pipeline.book.outside_files import changed_outside, outside_lines
from pipeline.book.params import Book
from pipeline.compute import runtime
from pipeline.compute.engines import setting
from pipeline.running.at_work import at_work, being_written, busy_message, forget_the_dead, made_of
from pipeline.running.dvc_books import one_book_command
from pipeline.running.graph import FIRST, plan, read_graph
from pipeline.running.own_group import own_group
from pipeline.running.plan import changed
from pipeline.running.prefork import prefork
from pipeline.running.stage_process import (
    EXIT_FILE,
    changed_stages,
    environment,
    listening,
    read_exit,
    read_killed,
)
from pipeline.tracking.log import enabled
from pipeline.tracking.recording import shared_recorder

TRIES = 3
"""Of ``dvc repro`` while other commands come and go."""
LOOK = 0.2
"""Seconds between two looks at who else writes."""


def run(book: Book, targets: Sequence[str] = (), force: bool = False) -> None:
    """``dvc repro`` of the book, or of some of its stages.

    Raises:
        ConfigurationError: a target is no stage of the book, or an environment variable has no valid value.
        TransientError: another command is at work on the book, or a stage was killed.
        subprocess.CalledProcessError: a stage failed (it has said why); ``returncode`` is the stage's own.
    """
    check_environment()
    targets = targets or book.book.targets
    check_targets(book, targets)
    dvc_yaml = str(Path(book.book.path) / "dvc.yaml")
    names = [f"{dvc_yaml}:{target}" for target in targets] or [dvc_yaml]
    if being_written() and _up_to_date(book, targets, force):
        return
    forget_the_dead()
    repro = partial(one_book_command, Path(dvc_yaml), "--wait-for-lock", "repro")
    commands = [repro(*names, *(["--force"] if force else []))]
    if not force and must_fingerprint(book):
        commands.insert(0, repro(f"{dvc_yaml}:{FIRST}", "--single-item", "--force"))
    with recording(), prefork(), listening() as exit_file:
        for command in commands:
            _run(book, command, exit_file)


def must_fingerprint(book: Book) -> bool:
    """Whether the stage ``code`` has to run whatever DVC says, for it does not watch all that ``code`` reads.

    Of a book whose options name files outside of their data set's ``root``: where one of them is another one than
    before, and where ``code`` is not up to date, since DVC's run-cache may have what it wrote for another one.
    """
    if changed_outside(book):
        return True
    address = f"{(Path(book.book.path) / 'dvc.yaml').as_posix()}:{FIRST}"
    named = any(outside_lines(book, "prepare", name) for name in book.prepare)
    return named and bool(changed_stages([address]))


def _run(book: Book, command: Sequence[str], exit_file: Path) -> None:
    """One ``dvc repro``. Raises as :func:`run`."""
    for tries_left in reversed(range(TRIES)):
        code, met = _repro(command, exit_file)
        reported, killed = read_exit(exit_file), read_killed(exit_file)
        if not code:
            return
        if reported or killed or not _in_the_way(book, met, tries_left):
            break
    if reported is None and killed is not None:
        raise TransientError(
            f"{killed} was ended by a signal, most often for want of memory. Nothing that was finished is lost: run "
            "the same command again, and it goes on from there (a training from the last state that it saved)."
        )
    code = reported[0] if reported else code
    raise subprocess.CalledProcessError(code if 0 < code < 128 else 1, command)


def _repro(command: Sequence[str], exit_file: Path) -> tuple[int, dict[str, int]]:
    """DVC's exit code, and what other processes wrote meanwhile: DVC says only on the terminal that it met them."""
    met: dict[str, int] = {}
    with own_group(command, environment() | {EXIT_FILE: str(exit_file)}) as process:
        while process.poll() is None:
            met |= {path: pid for path, pid in being_written().items() if pid != process.pid}
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)
    return process.returncode, met


def _in_the_way(book: Book, met: Mapping[str, int], tries_left: int) -> bool:
    """Whether another command was at work on the book when DVC refused, and has ended since: worth another try.

    Raises:
        TransientError: it is still at work, or there have been tries enough.
    """
    if not met:
        return False
    graph = read_graph(Path(book.book.path) / "dvc.yaml")
    stages = made_of(graph, met)
    if stages and (not tries_left or at_work(graph)):
        raise TransientError(busy_message(at_work(graph) or stages))
    return bool(stages)


def _up_to_date(book: Book, targets: Sequence[str], force: bool) -> bool:
    """Whether another command is at work on the book and all that is wanted is up to date.

    Every ``dvc repro`` looks at the stage ``code`` first, and DVC refuses that while a stage reads what it wrote.

    Raises:
        TransientError: another command is at work on the book, and something that is wanted is not up to date.
    """
    graph = read_graph(Path(book.book.path) / "dvc.yaml")
    working = at_work(graph)
    if not working:
        return False
    if force or changed_outside(book) or changed(plan(graph, targets)):
        raise TransientError(busy_message(working))
    return True


def recording() -> AbstractContextManager[None]:
    """One MLflow recorder for every stage that starts inside, where runs are recorded at all."""
    return shared_recorder() if enabled() else nullcontext()


def check_environment() -> None:
    """Find out now what stages would only say when it is their turn.

    Raises:
        ConfigurationError: a variable of this project has no valid value.
    """
    setting.check()
    runtime.workers()
    runtime.devices()
    enabled()
    runtime.device() if os.environ.get("WEAK2MASK_DEVICE", "").strip() else None
