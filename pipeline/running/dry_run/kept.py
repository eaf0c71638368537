"""Stages of an earlier dry run that need not run again: nothing that they read, and no code of theirs, has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.fingerprints import fingerprint_text
from pipeline.book.lineage import Node, entry_inputs
from pipeline.book.params import Book
from pipeline.running.dry_run.derive import Derived
from pipeline.running.dry_run.outcome import DryRunOutcome
from pipeline.storage.whole import remove, whole_file


class Kept:
    """What ran, each stage with a key of all that decides its output; a file beside the outputs.

    The key of a stage covers its entry within the limits, its code, size and time of the file that it imports, the
    files that a data set's options name, and the keys of what it stands on; not the images of a data set.
    """

    def __init__(self, derived: Derived, file: Path) -> None:
        self._book, self._file = derived.book, file
        self._keys = work_keys(derived)
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._ran: dict[str, tuple[str, DryRunOutcome]] = {
            stage: (key, DryRunOutcome(**ended)) for stage, (key, ended) in content.items()
        }

    def get(self, node: Node) -> DryRunOutcome | None:
        """How the stage ended, if what it would do now is what it did."""
        key, ended = self._ran.get("@".join(node), ("", None))
        return ended if key == self._keys[node] and self._output(node).exists() else None

    def forget(self, node: Node) -> None:
        """Remove its output before it runs again."""
        self._ran.pop("@".join(node), None)
        self._save()
        remove(self._output(node))

    def add(self, node: Node, ended: DryRunOutcome) -> None:
        """Take note of a stage that ran."""
        self._ran[ended.stage] = (self._keys[node], ended)
        self._save()

    def _save(self) -> None:
        content = {stage: (key, asdict(ended)) for stage, (key, ended) in self._ran.items()}
        with whole_file(self._file) as scratch:
            scratch.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _output(self, node: Node) -> Path:
        return artifact(self._book.book.work, kind_of(node[0]), node[1])


def work_keys(derived: Derived) -> Mapping[Node, str]:
    """sha256 of what decides each stage's output; see :class:`Kept`."""
    by_node: dict[Node, str] = {}
    for verb, name in derived.order:
        decides = [
            derived.book.entry(verb, name).model_dump_json(),
            fingerprint_text(derived.book, verb, name),
            _imported(derived.book, verb, name),
            *(by_node[below] for below in entry_inputs(derived.book, verb, name).values()),
        ]
        by_node[verb, name] = hashlib.sha256("\n".join(decides).encode()).hexdigest()
    return by_node


def _imported(book: Book, verb: str, name: str) -> str:
    path = Path(getattr(book.entry(verb, name), "file", None) or "")
    if not path.is_file():
        return ""
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
