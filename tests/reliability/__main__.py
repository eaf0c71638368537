"""Faults in great numbers: kills, full disks, flipped bits, bad input, processes beside each other.

    python -m tests.reliability                   # every case; writes results/reliability/CASE.json after each trial
    python -m tests.reliability faults kill.dvc   # the cases of a file, one case
    python -m tests.reliability --trials 5        # at most that many of each case
    python -m tests.reliability --trial 17 CASE   # trial 17 alone, with its traceback; writes nothing
    python -m tests.reliability --fresh           # from the first trial, whatever has been made
    python -m tests.reliability --list
    SOAK=0.1 python -m tests.reliability soak     # a tenth of the runs and images of each soak

A run that was ended goes on where it stopped, as long as neither the code nor the case has changed. Exit code 1: a
trial did not hold. ``python -m docs.tools.generate`` writes the page. A case is added by a file in
``tests/reliability/cases`` with a dictionary ``CASES``: name -> Case (frame.py). Its first trials are tests too
(tests/reliability/test_cases.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from models.errors import ConfigurationError
from tests.reliability import torture


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the trials that are asked for; returns the exit code: 1 where one did not hold, 2 for an unknown name."""
    parser = argparse.ArgumentParser("python -m tests.reliability", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a case or a file of cases (default: all)")
    parser.add_argument("--trials", type=int, metavar="N", help="at most N trials of each case")
    parser.add_argument("--trial", type=int, metavar="NUMBER", help="this trial alone; results/ stays as it is")
    parser.add_argument("--fresh", action="store_true", help="forget the trials that have been made")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    asked = parser.parse_args(arguments)
    try:
        names = torture.chosen(asked.cases)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.list:
        print("\n".join(f"{name:24} {torture.cases()[name].title}" for name in names))
        return 0
    if asked.trial is not None:
        return max(torture.alone(name, asked.trial) for name in names)
    return max(torture.record_of(name, asked.trials, fresh=asked.fresh) for name in names)


if __name__ == "__main__":
    raise SystemExit(main())
