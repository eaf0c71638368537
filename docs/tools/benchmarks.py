"""The page of benchmarks: from what ``python -m benchmarks`` and ``benchmarks.startup`` write into results/."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from docs.tools.tables import table

FOLDER = Path(__file__).parents[2] / "results" / "benchmarks"
HEAD = """# Benchmarks

On this page you can see how long the project's own computations take beside straightforward references: the same result
from the same input, computed as the formula reads or as published code does it. `make bench` measures, and writes the
page.

A ratio is reference / ours: above 1 the project is faster, or needs less memory. The two forms of a case take turns in
one run, each in a process of its own with one thread. CPU is user and system time; a ratio is the median over the
turns, with the lowest and the highest. Memory is what the peak of a process rises by, beyond the input.
The difference is the largest one between the two results: relative to the largest value, or for whole numbers the share
of unequal ones.
"""
EMPTY = "\nNo case has been measured yet.\n"
STARTING = Path(__file__).parents[2] / "results" / "commands" / "startup.json"
STARTING_HEAD = """
## What starting costs

CPU seconds of commands that do little, on the toy book when it has run: the best of the rounds, and their median. They
are user and system time of a process with one thread, its children included. Loops are the best divided by that of
`python loop`, which is the same work on every machine: by them figures of two machines compare. A target is in CPU
seconds of a machine on which the loop takes 0.35 s. A floor is what the libraries behind a command cost alone in the
same rounds. `dvc repro` reads every dvc.yaml of the project before it runs a stage, here
that of the root alone. `stage` is a stage by itself, as a plain `dvc repro` starts each; `run` loads the libraries once
for all its stages, and `a stage more in a run` is a tenth of what ten more of them add.
`python -m benchmarks.startup PROJECT` measures.

"""

Record = Mapping[str, Any]


def page() -> str:
    """The page, from all records."""
    starting = json.loads(STARTING.read_text(encoding="utf-8")) if STARTING.is_file() else None
    return text_of(read(FOLDER)) + (starting_text(starting) if starting else "")


def starting_text(record: Record) -> str:
    """What starting costs: a row for each command, in the order in which they were measured."""
    rows = [
        [
            f"`{name}`",
            f"{row['best']:.2f}",
            f"{row['median']:.2f}",
            f"{row['loops']:.1f}" if "loops" in row else "",
            "" if row["target"] is None else f"{row['target']:.1f}",
            "" if row.get("floor") is None else f"{row['floor']:.2f} ({', '.join(row['floor_of'])})",
        ]
        for name, row in record["cpu_seconds"].items()
    ]
    versions = [
        f"{name} `{value}`"
        for name, value in record.items()
        if name not in ("cpu_seconds", "cores", "rounds", "loop_seconds")
    ]
    made = f"\n\n{record['rounds']} rounds, {record['cores']} cores, {', '.join(versions)}.\n"
    return STARTING_HEAD + table(["command", "best", "median", "loops", "target", "floor"], rows) + made


def read(folder: Path) -> list[Record]:
    """The records of a folder, sorted by the names of their files; none where it is missing."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def text_of(records: Sequence[Record]) -> str:
    """The page of these records: ratios, what each case compares, where it was measured."""
    if not records:
        return HEAD + EMPTY
    columns = ["case", "", "CPU", "lowest to highest", "time passed", "memory", "reference, CPU s", "ours, CPU s"]
    ratios = table([*columns, "difference"], [_ratios(record) for record in records])
    compared = table(["case", "input", "ours", "reference"], [_compared(record) for record in records])
    return f"{HEAD}\n{ratios}\n\n## What is compared\n\n{compared}\n\n## Where and when\n\n{_places(records)}"


def _ratios(record: Record) -> list[str]:
    cpu, wall, memory = (record["ratio"][kind] for kind in ("cpu", "wall", "memory"))
    return [
        f"`{record['case']}`",
        record["title"],
        _times(cpu["median"]),
        f"{_times(cpu['lowest'])} to {_times(cpu['highest'])}",
        _times(wall["median"]),
        "" if memory is None else _times(memory),
        *(f"{record[form]['cpu']['median']:.3f}" for form in ("reference", "ours")),
        f"`{record['difference']:.0e}`" if record["difference"] else "0",
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _compared(record: Record) -> list[str]:
    size = ", ".join(f"{name} {number}" for name, number in record["size"].items())
    return [f"`{record['case']}`", f"{size}; {record['repetitions']} turns", *_what(record)]


def _what(record: Record) -> list[str]:
    return [record[form]["what"] for form in ("ours", "reference")]


def _places(records: Sequence[Record]) -> str:
    """A line for each state of project and machine."""
    lines = []
    for place, group in groupby(sorted(records, key=_place), _place):
        names = [f"`{record['case']}`" for record in group]
        lines.append(f"- {place}: {'all cases' if len(names) == len(records) else ', '.join(names)}.\n")
    return "".join(lines)


def _place(record: Record) -> str:
    made = record["made"]
    changed = " with uncommitted changes" if made["uncommitted"] else ""
    versions = ", ".join(f"{name} `{number}`" for name, number in made["versions"].items())
    commit = f"`{made['commit'][:8]}`" if made["commit"] else "not known"
    return f"{made['date']}, commit {commit}{changed}, {made['machine']}, {made['threads']} thread a form, {versions}"
