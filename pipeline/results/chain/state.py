"""Whether a stage is made: by dvc.lock, the book, the code and what lies in the work folder; no file is hashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.book.lineage import Node, entry_inputs
from pipeline.book.params import Book
from pipeline.results.tables.freshness import Record

Word = Literal["up to date", "restored", "would run", "depends", "at work", "not known"]


@dataclass(frozen=True)
class State:
    """How a stage stands.

    Attributes:
        word: "up to date"; "restored": made before, its output is not in the work folder, so that a run takes it from
            DVC's cache, or makes it where the cache lacks it; "would run"; "depends": would run if a stage above
            makes another output than before; "at work": another command makes it now; "not known": no dvc.lock.
        why: reasons, each a part of a sentence.
    """

    word: Word
    why: tuple[str, ...] = ()


def states(
    book: Book, order: Sequence[Node], writes: Mapping[Node, Sequence[str]], busy: Mapping[str, int]
) -> dict[Node, State]:
    """The state of each entry.

    Args:
        book: checked.
        order: entries, each after the ones it stands on.
        writes: project-relative paths of what each makes.
        busy: absolute path -> the process of DVC that writes it now.

    Raises:
        DataError: dvc.lock cannot be read.
    """
    lock = Path(book.book.path) / "dvc.lock"
    record = Record(book) if lock.is_file() else None
    found: dict[Node, State] = {}
    for node in order:
        found[node] = _state(book, node, writes[node], busy, record, found)
    return found


def _state(
    book: Book,
    node: Node,
    writes: Sequence[str],
    busy: Mapping[str, int],
    record: Record | None,
    above: Mapping[Node, State],
) -> State:
    pids = [busy[path] for path in (str(Path(path).absolute()) for path in writes) if path in busy]
    if pids:
        return State("at work", (f"process {pids[0]} makes it now",))
    if record is None:
        return State("not known", (f"{(Path(book.book.path) / 'dvc.lock').as_posix()} is not there",))
    if reasons := record.reasons(node):
        return State("would run", reasons)
    waits = ["@".join(below) for below in dict.fromkeys(entry_inputs(book, *node).values()) if _may_run(above[below])]
    if waits:
        return State("depends", (f"runs if another output comes of {', '.join(waits)}",))
    if missing := [path for path in writes if not Path(path).exists()]:
        return State("restored", (f"{missing[0]} is not there: taken from DVC's cache, or made again",))
    return State("up to date")


def _may_run(state: State) -> bool:
    return state.word in ("would run", "depends", "at work")
