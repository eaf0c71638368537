"""Many trials of each case, one after the other, and the record of what they saw."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.errors import ConfigurationError, closest
from pipeline.compute.machine import machine_kind
from pipeline.storage.whole import whole_file
from tests.reliability.frame import FOLDER, Outcome, cases, tried

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "reliability"
SOURCES = ("models", "stages", "pipeline", "tests/reliability")
FAILURES = 20
"""Failed trials whose problem is kept; all are counted."""

Record = dict[str, Any]


def chosen(names: Sequence[str]) -> list[str]:
    """Names of the cases that are asked for: a case, or a file for all of its; none for all.

    Raises:
        ConfigurationError: an unknown name.
    """
    files = {name.partition(".")[0] for name in cases()}
    for name in names:
        if name not in files and name not in cases():
            raise ConfigurationError(f"Unknown case '{name}'.{closest(name, [*files, *cases()])}")
    return [name for name in cases() if not names or name in names or name.partition(".")[0] in names]


def alone(name: str, number: int) -> int:
    """Make one trial, print what it saw; 1 where it did not hold."""
    outcome = tried(cases()[name], number)
    print(_line(name, number, outcome), flush=True)
    return 1 if outcome.problem else 0


def record_of(name: str, at_most: int | None = None, *, fresh: bool = False, results: Path = RESULTS) -> int:
    """Make the trials of a case that are missing, and write its record after each; 1 where one did not hold."""
    case, file = cases()[name], results / f"{name}.json"
    record = (None if fresh else _kept(file, name)) or _new(name)
    last = case.long if at_most is None else min(case.long, at_most)
    for number in range(record["trials"], last):
        outcome = tried(case, number)
        _add(record, number, outcome)
        _write(file, record)
        if outcome.problem or sys.stdout.isatty():
            print(_line(name, number, outcome), flush=True)
    counts = ", ".join(f"{count} {what}" for what, count in record["counts"].items())
    print(f"{name}: {record['trials']} trials, {record['failed']} did not hold; {counts}", flush=True)
    return 1 if record["failed"] else 0


def _new(name: str) -> Record:
    made = {"date": datetime.now(UTC).date().isoformat(), "machine": machine_kind(), "source": source(name)}
    head = {"case": name, "title": cases()[name].title, "planned": cases()[name].long}
    return head | {"trials": 0, "failed": 0, "seconds": 0, "megabytes": 0, "counts": {}, "failures": [], "made": made}


def _kept(file: Path, name: str) -> Record | None:
    """The record in ``file`` where the code and the case are those that made it."""
    try:
        record: Record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record | {"planned": cases()[name].long} if record["made"]["source"] == source(name) else None


def _add(record: Record, number: int, outcome: Outcome) -> None:
    record["trials"] = number + 1
    record["seconds"] = round(record["seconds"] + outcome.seconds, 1)
    record["megabytes"] = max(record["megabytes"], round(outcome.megabytes))
    counts = Counter({what: count for what, count in outcome.counts.items() if isinstance(count, int)})
    record["counts"] = dict(sorted((Counter(record["counts"]) + counts).items()))
    measured = [f"{what}: {text}" for what, text in outcome.counts.items() if isinstance(text, str)]
    if measured:
        record["measured"] = [*record.get("measured", ()), *measured]
    if outcome.problem:
        record["failed"] += 1
        if len(record["failures"]) < FAILURES:
            record["failures"].append({"trial": number, "problem": outcome.problem.splitlines()[0][:300]})


def _write(file: Path, record: Record) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as scratch:
        scratch.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _line(name: str, number: int, outcome: Outcome) -> str:
    seen = outcome.problem.strip() or ", ".join(f"{count} {what}" for what, count in outcome.counts.items())
    return f"{name} trial {number} ({outcome.seconds:.1f} s): {'DID NOT HOLD: ' if outcome.problem else ''}{seen}"


def source(name: str) -> str:
    """Digest of the code that the trials are about, the frame and the case's file: a change asks for new trials."""
    digest, file = hashlib.sha256(), FOLDER / f"{name.partition('.')[0]}.py"
    for path in sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")):
        if path.parent != FOLDER or path == file:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
