"""A stage that is killed at a random moment, with a fresh place or an older artefact in it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from pipeline.book.lineage import Node
from tests.reliability.book import WORK, Tree, before_operations, finished, forked, outputs, run, tree
from tests.reliability.frame import Case, Counts

OLDER = "older"


def stage(number: int) -> Counts:
    """Kill a stage, before its Nth operation on files or after a part of its CPU time; then run it again."""
    random, master = Random(number), finished()
    stage = master.stages[number % len(master.stages)]
    shutil.copytree(master.folder, ".", dirs_exist_ok=True, symlinks=True)
    places, older = outputs(stage), random.random() < 0.5
    others = _others(places)
    for place in places:
        _age(place) if older else _remove(place)
    aged = [tree(place) if older else None for place in places]
    moment, how = _moment(random, master.cpu[stage], master.operations[stage])
    where = f"{'@'.join(stage)}, {how}, {'an older' if older else 'no'} artefact in its place"
    code, said = forked(partial(_killed, moment, stage))
    assert code in (0, -signal.SIGKILL, -signal.SIGPROF), f"{where}: ended by itself with {code}: {said}"
    for place, before in zip(places, aged, strict=True):
        _whole(place, before, tree(master.folder / place), where)
    assert _others(places) == others, f"{where}: other artefacts have changed"
    again, said = forked(partial(run, stage))
    assert again == 0, f"{where}: does not run again: {said}"
    assert tree(WORK) == tree(master.folder / WORK), f"{where}: other bytes, or something left over"
    return {"killed" if code else "ended first": 1, f"kills of {stage[0]}": int(code != 0)}


def _moment(random: Random, cpu: float, operations: int) -> tuple[Callable[[], None], str]:
    """What makes the process of a stage end, and when, in words."""
    if random.random() < 0.7:
        number = 1 + random.randrange(operations)
        return partial(_kill_before, number), f"killed before operation {number} of {operations} on files of the book"
    seconds = max(0.001, random.random() * cpu)
    return partial(signal.setitimer, signal.ITIMER_PROF, seconds), f"killed after {seconds:.3f} s of CPU"


def _killed(moment: Callable[[], None], stage: Node) -> None:
    moment()
    run(stage)


def _kill_before(operation: int) -> None:
    """Kill this process before it does its Nth thing to a file of the book."""
    before_operations(lambda number: number == operation and os.kill(os.getpid(), signal.SIGKILL))


def _whole(place: Path, before: Tree | None, new: Tree, where: str) -> None:
    """An artefact is not there, is the older one, or the new one as a whole."""
    if place.exists():
        assert tree(place) in (before, new), f"{where}: {place} is neither the older nor the new one: {tree(place)}"


def _others(places: list[Path]) -> Tree:
    """All artefacts of the book but those at ``places``, and but scratch beside them."""
    kept = {}
    for path, digest in tree(WORK).items():
        inside = any((WORK / path).is_relative_to(place) for place in places)
        if not inside and not any(
            part.startswith((".partial", ".old")) or ".partial" in part for part in Path(path).parts
        ):
            kept[path] = digest
    return kept


def _age(place: Path) -> None:
    """Make an artefact an older one, with a file of its own."""
    if place.is_dir():
        (place / OLDER).write_text(OLDER, encoding="utf-8")
    else:
        place.write_text(OLDER, encoding="utf-8")


def _remove(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


CASES = {
    "stage": Case(
        "Each stage of a small book is killed before a random operation on files, or after a random part of its CPU "
        "time: what lies in its place is absent, the older or the new artefact as a whole; no other one changed; "
        "the stage runs again and all bytes are those of a run without a fault",
        stage,
        quick=15,
        long=240,
        before=finished,
    )
}
