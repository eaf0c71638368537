"""Run a book's DAG with DVC, and link what lies outside the project to where the book reads it."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from models.errors import ConfigurationError, DataError, TransientError, Weak2MaskError, closest
from pipeline import runtime
from pipeline.artifacts import SCORED
from pipeline.at_work import at_work, being_written, busy
from pipeline.engines import setting
from pipeline.graph import plan, read_graph
from pipeline.params import Book
from pipeline.recording import shared_recorder
from pipeline.runs import locked_outputs
from pipeline.stage_process import EXIT_FILE, environment, listening, read_exit, read_killed, repro_command
from pipeline.tracking import enabled
from pipeline.walk import changed


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
    command = repro_command(names, *(["--force"] if force else []))
    with recording(), listening() as told:
        done = subprocess.run(command, env=environment() | {EXIT_FILE: str(told)}, check=False)
        said, killed = read_exit(told), read_killed(told)
    if not done.returncode:
        return
    if said is None and killed is not None:
        raise TransientError(
            f"{killed} was ended by a signal, most often for want of memory. Nothing that was finished is lost: run "
            "the same command again, and it goes on from there (a training from the last state that it saved)."
        )
    if said is None and being_written():  # another command came first while DVC started
        _up_to_date(book, targets, force=True)
    code = said[0] if said else done.returncode
    raise subprocess.CalledProcessError(code if 0 < code < 128 else 1, command)


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
    if force or changed(plan(graph, targets)):
        raise TransientError(busy(working))
    return True


def pull_evaluations(book: Book) -> None:
    """Fetch the evaluations that the book's dvc.lock records, some kilobytes each, from DVC's cache or its remote.

    Where it records none, a warning says so: a table has published numbers to show all the same.

    Raises:
        Weak2MaskError: DVC could not; it has said why.
    """
    dvc_yaml = Path(book.book.path) / "dvc.yaml"
    lock = dvc_yaml.with_name("dvc.lock")
    recorded = locked_outputs(lock) if lock.is_file() else {}
    stages = [f"{verb}@{name}" for verb in SCORED for name in getattr(book, verb)]
    names = [f"{dvc_yaml}:{stage}" for stage in stages if stage in recorded]
    if not names:
        warnings.warn(
            f"Nothing to pull: {lock} records no evaluation of {book.book.params}. Expected the dvc.lock of somebody "
            f"who ran it, committed; or run it here: python -m pipeline run --book {book.book.path}.",
            stacklevel=2,
        )
        return  # DVC would take no name for all of them
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "pull", *names]
    if subprocess.run(command, env=environment(), stdout=sys.stderr, check=False).returncode:
        raise Weak2MaskError(
            f"The evaluations of {book.book.params} could not be pulled. Expected a DVC remote (`dvc remote list`) "
            "that someone pushed this dvc.lock to. Remedy: `dvc push` there, or `python -m pipeline run` here."
        )


def check_targets(book: Book, targets: Sequence[str]) -> None:
    """Whether every target is a stage of the book.

    Raises:
        ConfigurationError: one is not; the message has the closest one.
    """
    stages = ["code", *(f"{verb}@{name}" for verb, name in book.entries())]
    for target in targets:
        if target not in stages:
            raise ConfigurationError(f"{book.book.params} has no stage '{target}'.{closest(target, stages)}")


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


def link_sources(book: Book) -> None:
    """Link each source of the book whose environment variable is set.

    Raises:
        ConfigurationError: the variable names a path that does not exist.
    """
    for source, variable in book.book.sources.items():
        if target := os.environ.get(variable):
            if not Path(target).exists():
                raise ConfigurationError(f"{variable}={target}: no such file or folder. Set it to where {source} lies.")
            link(Path(source), Path(target))


@contextmanager
def sources_for_now(book: Book) -> Iterator[None]:
    """:func:`link_sources`, and afterwards what was there before."""
    before = {path: path.readlink() if path.is_symlink() else None for path in map(Path, book.book.sources)}
    try:
        link_sources(book)
        yield
    finally:
        for path, target in before.items():
            if path.is_symlink() and path.readlink() != target:
                path.unlink()
                if target is not None:
                    path.symlink_to(target)


def link(source: Path, target: Path) -> None:
    """Make ``source`` a symbolic link to ``target``; an older link is replaced, real files never.

    Raises:
        ConfigurationError: the target does not exist, real files lie at ``source``, or it is outside the project.
    """
    if not target.exists():
        raise ConfigurationError(f"{target}: no such file or folder, so {source} cannot be linked to it.")
    parent = next(folder for folder in source.parents if folder.exists())
    if source.is_absolute() or not parent.is_dir() or not parent.resolve().is_relative_to(Path.cwd().resolve()):
        raise ConfigurationError(
            f"{source}: expected a path in the project, as a book names it (data/voc_mini), found one outside it."
        )
    if source.is_symlink():
        if source.resolve() == target.resolve():
            return
        source.unlink()
    elif source.exists():
        if source.resolve() == target.resolve():
            return
        raise ConfigurationError(f"{source} is there already and is no link. Move it away, or use it as it is.")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.symlink_to(target.resolve(), target_is_directory=target.is_dir())


def export_masks(book: Book, name: str, out: Path) -> int:
    """Write the masks of ``masks/NAME`` or ``supervision/NAME`` as palette PNG; returns how many.

    Raises:
        ConfigurationError: no such artefact in the book.
        DataError: the artefact has not been made, or ``out`` holds files.
    """
    from pipeline.artifacts import artifact
    from pipeline.palette import export_png
    from pipeline.stores import MaskStore, SupervisionStore

    kind, _, short = name.partition("/")
    known = [f"{kind}/{name}" for kind in ("masks", "supervision") for name in book.names(kind)]
    if name not in known:
        raise ConfigurationError(f"{book.book.params} makes no '{name}'.{closest(name, known)}")
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty. Name a new folder: nothing is overwritten.")
    path = artifact(book.book.work, kind, short)
    if kind == "masks":
        return len(export_png(MaskStore(path), out))
    return len(export_png(((id, item.seeds) for id, item in SupervisionStore(path)), out))
