"""Dry-run a book: derive its book, run its stages, write dry_run.json."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.book.check import check
from pipeline.book.check_inputs import check_targets
from pipeline.book.params import Book
from pipeline.compute.alone import alone
from pipeline.running.dry_run.derive import Derived, derive
from pipeline.running.dry_run.kept import Kept
from pipeline.running.dry_run.limits import Limits
from pipeline.running.dry_run.outcome import DryRunOutcome
from pipeline.running.dry_run.stages import run_stages
from pipeline.running.repro import check_environment

if TYPE_CHECKING:
    from rich.table import Table

SUMMARY = "dry_run.json"
RAN = "ran.json"
"""What ``resume`` reads: each stage that ran, of all dry runs since the folder was emptied."""


def dry_run(
    book: Book,
    targets: Sequence[str],
    limits: Limits,
    *,
    everything: bool = False,
    resume: bool = False,
    say: Callable[[str], None],
) -> tuple[list[DryRunOutcome], Path]:
    """Run stages small, and what they stand on; returns how each ended, and where dry_run.json lies.

    Everything is written below ``work/dry_run/BOOK``, which is emptied first unless the run resumes: neither the
    book's work folder, nor DVC's cache and lock, nor MLflow are touched.

    Args:
        book: checked by name; its sources are linked.
        targets: ``VERB@NAME``; none for the book's own.
        limits: how small.
        everything: run all entries of the book.
        resume: keep stages that ran before with the same limits, entries, imported files and code.
        say: takes a line of progress.

    Raises:
        ConfigurationError: an unknown target, a data set that is not there, or a wrong environment variable.
        TransientError: another dry run of the book is at work.
    """
    check_environment()
    wanted = [] if everything else list(targets or book.book.targets)
    check_targets(book, wanted)
    derived = derive(book, wanted, limits)
    check(derived.book)
    folder = Path(derived.book.book.path)
    with alone(folder.with_name(f"{folder.name}.lock"), f"dry run in {folder}", patience=0.0):
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        for notice in derived.notices:
            say(f"notice: {notice}")
        ended: list[DryRunOutcome] = []
        for result in run_stages(derived, Kept(derived, folder / RAN), say):
            ended.append(result)
            _write(folder / SUMMARY, book, limits, derived, ended)
    return ended, folder / SUMMARY


def state_counts(ended: Sequence[DryRunOutcome]) -> dict[str, int]:
    """How many stages ended in each state."""
    return dict(Counter(result.state for result in ended))


def summary_table(ended: Sequence[DryRunOutcome]) -> Table:
    """The stages for a terminal."""
    from pipeline.results.tables.text import TextTable

    cells = tuple((result.stage, result.state, *_measures(result), _why(result.reason)) for result in ended)
    return TextTable("Dry run", ("stage", "state", "seconds", "peak GiB", "why"), cells, left=(0, 1, 4)).rich()


def _why(reason: str) -> str:
    """The first line; of a list its first item too."""
    first, *others = [line.strip() for line in reason.splitlines()] or [""]
    return f"{first} {others[0]}" if first.endswith(":") and others else first


def _measures(result: DryRunOutcome) -> tuple[str, str]:
    ran = result.state != "skipped"
    return (f"{result.seconds:.1f}", f"{result.peak_gib:.2f}") if ran else ("-", "-")


def _write(path: Path, book: Book, limits: Limits, derived: Derived, ended: Sequence[DryRunOutcome]) -> None:
    content: dict[str, Any] = {
        "book": book.book.path,
        "limits": asdict(limits),
        "notices": list(derived.notices),
        "counts": state_counts(ended) | {"left": len(derived.order) - len(ended)},
        "seconds": round(sum(result.seconds for result in ended), 3),
        "stages": [
            asdict(result) | {"seconds": round(result.seconds, 3), "peak_gib": round(result.peak_gib, 3)}
            for result in ended
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
