"""What a case of the reliability suite is, and how a trial of it is made."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

FOLDER = Path(__file__).parent / "cases"
Counts = Mapping[str, int | str]
"""What a trial saw: a few words -> how many times, added up over the trials; or what it measured, in words."""


ENVIRONMENT = {
    "WEAK2MASK_WORKERS": "0", "WEAK2MASK_TRACKING": "off", "WEAK2MASK_DEVICE": "cpu", "OMP_NUM_THREADS": "1",
    "DVC_NO_ANALYTICS": "1",
}  # fmt: skip
"""Of a trial: what a stage does, it does in the process of the trial, on one thread; runs are not recorded; DVC starts
no process that would report its use."""


@dataclass(frozen=True)
class Case:
    """A fault that the project must survive.

    Attributes:
        title: of the case in tables: what is done, and what must hold afterwards.
        trial: makes the fault once, with all that is random drawn from its number 0, 1, ...; the working folder is an
            empty one of its own. Returns what it saw. Any exception means that the project did not hold.
        quick: trials in CI; 0 for a case that is for the long run alone.
        long: trials of ``make torture``.
        seconds: after which a trial counts as a hang.
        megabytes: what the process of a trial may need at its peak, beyond what it has as a fork.
        before: called before each trial, in the process that the trials are forks of: makes, once, what all of them
            start from, and loads no thread.
    """

    title: str
    trial: Callable[[int], Counts]
    quick: int
    long: int
    seconds: float = 600
    megabytes: float = 2000
    before: Callable[[], object] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        counts: what it saw; empty where it failed.
        problem: why it failed, in the first line, and the end of the traceback; "" where it held.
        seconds: that passed.
        megabytes: peak of the trial's process, less what it had as a fork.
    """

    counts: dict[str, int | str]
    problem: str
    seconds: float
    megabytes: float


@cache
def cases() -> dict[str, Case]:
    """Every case, "file.name" -> case: those in the dictionary ``CASES`` of each file in ``cases/``."""
    files = sorted(path.stem for path in FOLDER.glob("*.py"))
    found = {file: importlib.import_module(f"tests.reliability.cases.{file}").CASES for file in files}
    return {f"{file}.{name}": case for file, of_file in found.items() for name, case in of_file.items()}


def tried(case: Case, number: int) -> Outcome:
    """Make a trial in a process of its own, which is ended with all that it started when its time is over."""
    if case.before is not None:
        case.before()
    start, context = time.monotonic(), multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    counts: dict[str, int | str] = {}
    problem, megabytes = f"no result within {case.seconds:.0f} s", 0.0
    with tempfile.TemporaryDirectory(prefix="w2m-torture-", ignore_cleanup_errors=True) as folder:
        process = context.Process(target=_trial, args=(case, number, folder, there))
        process.start()
        there.close()
        if here.poll(case.seconds):
            try:
                counts, problem, megabytes = here.recv()
            except EOFError:
                problem = "the process of the trial ended without a result"
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    if not problem and megabytes > case.megabytes:
        problem = f"{megabytes:.0f} MB at the peak, of {case.megabytes:.0f} MB allowed"
    return Outcome({} if problem else counts, problem, time.monotonic() - start, megabytes)


def _trial(case: Case, number: int, folder: str, answer: Connection) -> None:
    os.setpgid(0, 0)
    os.chdir(folder)
    os.environ |= ENVIRONMENT
    problem, counts, before = "", {}, _peak(anew=True)
    try:
        counts = dict(case.trial(number))
    except BaseException as error:  # whatever it is: the project did not hold
        reason = "".join(traceback.format_exception_only(error)).strip()
        problem = f"{reason}\n{''.join(traceback.format_tb(error.__traceback__, -4))}"
    answer.send((counts, problem, _peak() - before))


def _peak(*, anew: bool = False) -> float:
    """Peak of this process in MB; ``anew``: from now on, for a fork begins with the peak of its parent."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
