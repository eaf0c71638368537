"""Is a number still the book's? What DVC recorded in dvc.lock against params.yaml, the code and the files.

A cheap part of ``dvc status``, which also hashes the stores and what lies outside the project: settings, code,
inputs that were made again, and the metrics file itself. No output but metrics.json is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.errors import ConfigurationError, DataError
from pipeline.book.artifacts import VERBS, artifact, code_fingerprint, kind_of
from pipeline.book.check import check
from pipeline.book.fingerprints import fingerprint_text
from pipeline.book.lineage import Node, ancestors, artefact_name, entry_inputs
from pipeline.book.outside_files import outside_lines, outside_of
from pipeline.book.params import Book
from pipeline.book.yaml_text import parse_once, parse_yaml
from pipeline.tracking.log import dvc_md5, flatten

NO_RECORD = "has no record in dvc.lock"
OTHER_CODE = "ran with other code"
OTHER_FILES = "ran with other code, or on another file that its options name"
FEW = 3


class Record:
    """What a book's dvc.lock says, and how the book differs from it now."""

    def __init__(self, book: Book) -> None:
        """Read ``dvc.lock`` of the book; a book without one has no record of anything (DataError: it is no YAML)."""
        self.book = book
        path = Path(book.book.path) / "dvc.lock"
        try:
            content = parse_yaml(path.read_text(encoding="utf-8")) if path.is_file() else None
            self._stages: dict[str, Any] = (content or {}).get("stages", {})
        except Exception as error:  # YAML's own, or a lock that is no mapping
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{path}: expected DVC's record of finished stages, found something else ({reason}). "
                "Remedy: restore it from git, or delete it and run `dvc repro`, which takes results from the cache."
            ) from None
        self._known: dict[Node, tuple[str, ...]] = {}

    def md5(self, path: Path) -> str | None:
        """The hash that DVC recorded for an output of the book."""
        return self._outputs.get(path.as_posix())

    def changes(self, name: str, verb: str = "evaluate") -> tuple[str, ...]:
        """Why an evaluation is not what the book says now; empty when nothing is known to have changed."""
        nodes = ancestors(self.book, verb, name)
        changes = [f"{node[0]}@{node[1]} {reason}" for node in nodes for reason in self.reasons(node)]
        metrics = artifact(self.book.book.work, kind_of(verb), name) / "metrics.json"
        if metrics.is_file() and (md5 := self.md5(metrics)) is not None and md5 != dvc_md5(metrics):
            changes.append(f"{metrics} is not the file that DVC recorded: it may have been made otherwise than said")
        return tuple(changes)

    def reasons(self, node: Node) -> tuple[str, ...]:
        """Why the stage of one entry would run again, leaving out those it stands on; empty when it would not."""
        if node not in self._known:
            verb, name = node
            stage = self._stages.get(f"{verb}@{name}")
            self._known[node] = tuple(self._compare(node, stage)) if stage else (NO_RECORD,)
        return self._known[node]

    @cached_property
    def book_as_run(self) -> Book:
        """The book with each entry as its stage last ran: what a number that is out of date was made with.

        Where that is no book any more (a component or an option has gone since), the book as it is.
        """
        content: dict[str, Any] = self.book.model_dump()
        for stage, recorded in self._stages.items():
            verb, _, name = stage.partition("@")
            ran_with = recorded.get("params", {}).get(self.book.book.params, {}).get(f"{verb}.{name}")
            if verb in VERBS and ran_with is not None:
                content[verb][name] = ran_with
        try:
            book = Book.model_validate(content)
            check(book)
        except (ValidationError, ConfigurationError):
            return self.book
        return book

    @cached_property
    def _outputs(self) -> dict[str, str]:
        return {out["path"]: out["md5"] for stage in self._stages.values() for out in stage.get("outs", [])}

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return dict(parse_once(Path(self.book.book.params).read_text(encoding="utf-8")))

    def _compare(self, node: Node, stage: Mapping[str, Any]) -> Iterator[str]:
        verb, name = node
        ran_with = stage.get("params", {}).get(self.book.book.params, {}).get(f"{verb}.{name}")
        if differing := _differing(ran_with, self._settings[verb][name]):
            yield f"ran with other settings: {differing}"
        used = {dep["path"]: dep.get("md5") for dep in stage.get("deps", [])}
        recorded = used.get(code_fingerprint(self.book.book.work, verb, name).as_posix())
        if recorded != _md5(fingerprint_text(self.book, verb, name)):
            yield OTHER_CODE if self._same_files(node, recorded) else OTHER_FILES
        for below in entry_inputs(self.book, verb, name).values():
            path = artifact(self.book.book.work, *artefact_name(below).split("/"))
            if used.get(path.as_posix()) != self.md5(path):
                yield f"ran on another {artefact_name(below)}"

    def _same_files(self, node: Node, recorded: str | None) -> bool:
        """Whether the files that an entry's options name are known to be those of then.

        Of a fingerprint the lock has the hash alone; its text is where nobody has written another one since.
        """
        lines, file = outside_lines(self.book, *node), code_fingerprint(self.book.book.work, *node)
        text = file.read_text(encoding="utf-8") if lines and file.is_file() else ""
        return not lines or (_md5(text) == recorded and outside_of(text) == lines)


def _md5(text: str) -> str:
    """As DVC has it of a file with this text."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _differing(then: Any, now: Any) -> str:
    """The first keys whose values differ, joined."""
    if then == now:
        return ""
    if not isinstance(then, Mapping) or not isinstance(now, Mapping):
        return "all of them"
    before, after = flatten(then), flatten(now)
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return ", ".join(keys[:FEW]) + (", ..." if len(keys) > FEW else "")
