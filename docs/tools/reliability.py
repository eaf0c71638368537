"""The page of the reliability suite: from the records that ``make torture`` writes into results/reliability/."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from docs.tools.tables import table

FOLDER = Path(__file__).parents[2] / "results" / "reliability"
HEAD = """# Reliability

On this page you can see which faults the project has been put through, how often, and what it did. `make torture` makes
the faults, with all that is random drawn from the number of the trial, and writes the page. It goes on where it was
stopped. The first trials of each case are tests. `python -m tests.reliability CASE --trial NUMBER` makes one trial
again. A trial holds when everything that the title of its case says was so.
"""
EMPTY = "\nNo trial has been made yet.\n"

Record = Mapping[str, Any]


def page() -> str:
    """The page, from all records."""
    return text_of(read(FOLDER))


def read(folder: Path) -> list[Record]:
    """The records of a folder, sorted by the names of their files; none where it is missing."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def text_of(records: Sequence[Record]) -> str:
    """The page of these records: how often each case held, what its trials saw, what failed, where it was run."""
    if not records:
        return HEAD + EMPTY
    columns = ["case", "what is done, and what holds", "trials", "of", "held", "seen", "minutes", "MB more at the peak"]
    rows = table(columns, [_row(record) for record in records])
    return "\n".join([HEAD, rows, "", *_failures(records), _places(records)])


def _row(record: Record) -> list[str]:
    counted = [f"{count} {what}" for what, count in record["counts"].items()]
    counts = "; ".join([*counted, *record.get("measured", ())])
    numbers = [record["trials"], record["planned"], record["trials"] - record["failed"]]
    cost = [f"{record['seconds'] / 60:.1f}", f"{record['megabytes']:.0f}"]
    return [f"`{record['case']}`", record["title"], *map(str, numbers), counts, *cost]


def _failures(records: Sequence[Record]) -> list[str]:
    rows = [
        [f"`{record['case']}`", str(failure["trial"]), f"`{failure['problem']}`"]
        for record in records
        for failure in record["failures"]
    ]
    return ["## Trials that did not hold", "", table(["case", "trial", "problem"], rows), ""] if rows else []


def _places(records: Sequence[Record]) -> str:
    places = sorted((record["made"]["date"], record["made"]["machine"], record["case"]) for record in records)
    lines = [
        f"- {date}, {machine}: {', '.join(f'`{case}`' for *_, case in group)}."
        for (date, machine), group in groupby(places, key=lambda place: place[:2])
    ]
    return "\n".join(["## Where and when", "", *lines, ""])
