"""Keep what stages have made over an edit of the code that changes none of their numbers."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError, DataError
from pipeline.book.artifacts import SCORED, artifact, kind_of
from pipeline.book.check_inputs import check_targets
from pipeline.book.lineage import Node, ancestors
from pipeline.book.params import Book
from pipeline.book.yaml_text import parse_yaml
from pipeline.problems.notices import first_of
from pipeline.results.tables.freshness import NO_RECORD, OTHER_CODE, Record
from pipeline.running.dvc_books import one_book_command
from pipeline.running.graph import FIRST
from pipeline.running.repro import run
from pipeline.storage.whole import whole_file


@dataclass(frozen=True)
class Kept:
    """What became of the stages of a book.

    Attributes:
        kept: recorded with the code of now.
        left: stage -> why it runs again all the same.
    """

    kept: tuple[str, ...]
    left: dict[str, str]


def keep(book: Book, targets: Sequence[str] = ()) -> Kept:
    """Have DVC record the code of now beside results that other code made, of stages that differ in nothing else.

    The caller vouches for it that the edit changes no number; nothing is computed.

    Args:
        book: a checked book that has been run.
        targets: stages, with what they stand on; none for all that ran.

    Raises:
        ConfigurationError: a target is no stage of the book, or the stage ``code``.
        DataError: an output is gone, or is not what its stage wrote.
        TransientError: another command is at work on the book.
        subprocess.CalledProcessError: DVC refused, and has said why.
    """
    check_targets(book, targets)
    if FIRST in targets:
        raise ConfigurationError(
            f"{FIRST}: expected stages whose results are kept, such as evaluate@cam, found the stage that "
            "fingerprints the code, which has none. Leave it out."
        )
    named = [(verb, name) for verb, _, name in (target.partition("@") for target in targets)]
    nodes = dict.fromkeys(node for start in (named if targets else book.entries()) for node in ancestors(book, *start))
    record = Record(book)
    reasons = {node: found for node in nodes if (found := record.reasons(node)) and found != (NO_RECORD,)}
    keeping = [node for node, found in reasons.items() if found == (OTHER_CODE,)]
    _require_outputs(book, keeping)
    if keeping:
        _commit(book, [_stage(node) for node in keeping])
    left = {_stage(node): found for node, (found, *_) in reasons.items() if node not in keeping}
    return Kept(tuple(map(_stage, keeping)), left)


def _stage(node: Node) -> str:
    return "@".join(node)


def _require_outputs(book: Book, nodes: Sequence[Node]) -> None:
    places = {
        _stage((verb, name)): artifact(book.book.work, kind_of(verb), name) / ("metrics.json" if verb in SCORED else "")
        for verb, name in nodes
    }
    if gone := [stage for stage, place in places.items() if not place.exists()]:
        raise DataError(
            f"{len(gone)} of {len(places)} stages to keep have no output here: {first_of(gone)}. "
            f"Remedy: dvc checkout {Path(book.book.path) / 'dvc.yaml'}, which takes it from the cache."
        )


def _commit(book: Book, stages: Sequence[str]) -> None:
    """``dvc commit``, undone where it finds outputs that are not what the stages wrote."""
    dvc_yaml = Path(book.book.path) / "dvc.yaml"
    lock = dvc_yaml.with_name("dvc.lock")
    before = lock.read_text(encoding="utf-8")
    run(book, ["code"])
    names = [f"{dvc_yaml.as_posix()}:{stage}" for stage in stages]
    subprocess.run(one_book_command(dvc_yaml, "--wait-for-lock", "commit", "--force", "--quiet", *names), check=True)
    then, now = (_outputs(text) for text in (before, lock.read_text(encoding="utf-8")))
    if changed := [stage for stage in stages if then[stage] != now[stage]]:
        with whole_file(lock) as scratch:
            scratch.write_text(before, encoding="utf-8")
        raise DataError(
            f"{len(changed)} of {len(stages)} stages to keep have an output that is not what they wrote: "
            f"{first_of(changed)}. Nothing was kept. Remedy: let `run` make it again."
        )


def _outputs(lock: str) -> dict[str, Any]:
    """Stage -> the path and the hash of each of its outputs."""
    stages = parse_yaml(lock)["stages"]
    return {stage: {out["path"]: out["md5"] for out in recorded.get("outs", ())} for stage, recorded in stages.items()}
