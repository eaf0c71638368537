"""Times of the project beside straightforward references, on the same inputs, in the same run.

    python -m benchmarks                       # every case, some minutes; writes results/benchmarks/CASE.json
    python -m benchmarks walks refine.sweep    # the cases of a file, one case
    python -m benchmarks --resume              # go on: leave out what this commit and machine have measured already
    python -m benchmarks --quick               # tiny inputs: do both forms agree? Writes nothing
    python -m benchmarks --list

The two forms of a case take turns, each in a process of its own with one thread. Seconds are CPU time (user and system,
children included) and time that passed; a ratio is reference / ours, the median over the turns, with its spread. A case
whose forms disagree keeps no time and ends with exit code 1. ``python -m docs.tools.generate`` writes the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.suite import ROOT, DisagreementError, Record, cases, chosen, is_kept, measured
from models.errors import ConfigurationError

FOLDER = ROOT / "results" / "benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases that are asked for; returns the exit code: 1 where forms disagree, 2 for an unknown name."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a case or a file of cases (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all records into this file too")
    parser.add_argument("--resume", action="store_true", help="keep what this commit and machine have measured")
    parser.add_argument("--quick", action="store_true", help="tiny inputs, seconds in all; results/ stays as it is")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    asked = parser.parse_args(arguments)
    try:
        names = chosen(asked.cases)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.list:
        print("\n".join(f"{name:28} {cases()[name].title}" for name in names))
        return 0
    records, wrong = run(names, quick=asked.quick, resume=asked.resume)
    if asked.json:
        asked.json.write_text(as_json(records), encoding="utf-8")
    return 1 if wrong else 0


def run(names: Sequence[str], quick: bool, resume: bool) -> tuple[list[Record], list[str]]:
    """Records of the cases, each written as soon as it is there unless ``quick``, and names of those that disagree."""
    records, wrong = [], []
    for name in names:
        path = FOLDER / f"{name}.json"
        if resume and not quick and path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            if is_kept(record, name):
                records.append(record)
                print(f"{name}: kept", flush=True)
                continue
        try:
            record = measured(name, quick)
        except DisagreementError as error:
            wrong.append(name)
            print(error, file=sys.stderr, flush=True)
            continue
        records.append(record)
        print(line(record), flush=True)
        if not quick:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(as_json(record), encoding="utf-8")
    return records, wrong


def line(record: Record) -> str:
    """One record in a line."""
    cpu = record["ratio"]["cpu"]
    ours, reference = (record[form]["cpu"]["median"] for form in ("ours", "reference"))
    return (
        f"{record['case']:28} {cpu['median']:8.2f}x ({cpu['lowest']:.2f} to {cpu['highest']:.2f})  "
        f"reference {reference:.3f} s, ours {ours:.3f} s CPU; difference {record['difference']:.1e}"
    )


def as_json(content: Record | list[Record]) -> str:
    """Text of a results file."""
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
