"""A chain with all that is shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.book.lineage import Node, ancestors, entry_inputs
from pipeline.book.lines import places_of
from pipeline.book.params import Book
from pipeline.results.chain.files import GraphFile
from pipeline.results.chain.settings import Setting, component, settings
from pipeline.results.chain.state import State, states
from pipeline.results.chain.work import Counting
from pipeline.tracking.times import Measured, recorded_times


@dataclass(frozen=True)
class Input:
    """A path that a stage reads, and the stage that makes it; None for what lies outside of the book.

    ``missing``: it lies outside and is not there.
    """

    path: str
    made_by: str | None
    missing: bool = False


@dataclass(frozen=True)
class ChainStage:
    """One stage.

    Attributes:
        stage: ``VERB@NAME``.
        component: what it runs, in a few words.
        place: file and line of its entry (``book.yaml line 41``); "" where that is not known.
        settings: its options, defaults filled in.
        reads: what it reads.
        writes: project-relative paths of what it makes.
        gpu: whether it computes on the device.
        state: whether it is made.
        work: what it has to do, counted; "" where that cannot be counted.
        measured: its last finished run on this machine, or None.
        after: stages that it reads from; its data set only where no other of these stands on it already.
    """

    stage: str
    component: str
    place: str
    settings: tuple[Setting, ...]
    reads: tuple[Input, ...]
    writes: tuple[str, ...]
    gpu: bool
    state: State
    work: str
    measured: Measured | None
    after: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """The stages that one stage stands on and itself last, each after the ones that it reads from.

    ``note`` says why no times are known, "" where they are.
    """

    params: str
    target: str
    stages: tuple[ChainStage, ...]
    note: str = ""


def chain(book: Book, target: Node, busy: Mapping[str, int]) -> Chain:
    """The chain of an entry.

    Args:
        book: checked.
        target: (verb, name) of the entry.
        busy: absolute path -> the process of DVC that writes it now.

    Raises:
        ConfigurationError: the book has no dvc.yaml.
        DataError: dvc.lock or a catalogue cannot be read.
    """
    order = ancestors(book, *target)
    graph = GraphFile(book)
    files = {node: graph.files(node) for node in order}
    makers = {path: "@".join(node) for node in order for path in files[node].writes}
    lines = places_of(book.file, [".".join(node) for node in order])
    state = states(book, order, {node: files[node].writes for node in order}, busy)
    times, counting, after = recorded_times(book.name), Counting(book), drawn_inputs(book, order)
    stages = []
    for verb, name in order:
        node, stage, entry = (verb, name), f"{verb}@{name}", book.entry(verb, name)
        stages.append(
            ChainStage(
                stage=stage,
                component=component(book, verb, entry),
                place=lines.get(f"{verb}.{name}", ""),
                settings=settings(verb, entry),
                reads=tuple(_input(path, makers.get(path)) for path in files[node].reads),
                writes=files[node].writes,
                gpu=files[node].gpu,
                state=state[node],
                work=counting.work(node),
                measured=times.measured.get(stage),
                after=after[node],
            )
        )
    return Chain(book.book.params, "@".join(target), tuple(stages), times.note)


def _input(path: str, maker: str | None) -> Input:
    return Input(path, maker, missing=maker is None and not Path(path).exists())


def drawn_inputs(book: Book, order: Sequence[Node]) -> dict[Node, tuple[str, ...]]:
    """Of each entry the stages that it reads from; a data set only where no other of them stands on it already.

    Every entry reads its data set: drawn as such, those edges hide the others.

    Args:
        book: checked.
        order: entries, each after the ones it stands on.
    """
    above: dict[Node, set[Node]] = {}
    drawn: dict[Node, tuple[str, ...]] = {}
    for node in order:
        direct = list(dict.fromkeys(entry_inputs(book, *node).values()))
        further = set().union(*(above[below] for below in direct))
        above[node] = further.union(direct)
        drawn[node] = tuple("@".join(below) for below in direct if below[0] != "prepare" or below not in further)
    return drawn
