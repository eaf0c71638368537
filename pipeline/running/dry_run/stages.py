"""The stages of a dry run, one process after the other, measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import current_thread, main_thread
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.book.lineage import Node, entry_inputs
from pipeline.running.dry_run.derive import Derived
from pipeline.running.dry_run.outcome import DryRunOutcome
from pipeline.running.stage_process import EXIT_FILE, GRACE, environment, listening, read_exit

if TYPE_CHECKING:
    from pipeline.running.dry_run.kept import Kept

GIB = 2**30
SHOWN_LINES = 15
"""Lines of a failed stage that are shown; its log has all."""


def run_stages(derived: Derived, kept: Kept, say: Callable[[str], None]) -> Iterator[DryRunOutcome]:
    """Run every stage that can and has to; one that fails, or cannot run here, takes those that stand on it with it."""
    ended: dict[Node, DryRunOutcome] = {}
    folder = derived.write()
    for number, node in enumerate(derived.order, start=1):
        stage, place = f"{node[0]}@{node[1]}", f"[{number}/{len(derived.order)}]"
        if before := kept.get(node):
            ended[node] = before
            say(f"{place} {stage} kept")
        elif reason := _obstacle(derived, node, ended):
            ended[node] = DryRunOutcome(stage, "skipped", reason=reason)
            say(f"{place} {_line(ended[node])}")
        else:
            say(f"{place} {stage} ...")
            kept.forget(node)
            ended[node] = _run(node, folder)
            if ended[node].state == "ran":
                kept.add(node, ended[node])
            say(f"{place} {_line(ended[node])}")
        yield ended[node]


def _obstacle(derived: Derived, node: Node, ended: Mapping[Node, DryRunOutcome]) -> str:
    if node in derived.unable:
        return derived.unable[node]
    for below in entry_inputs(derived.book, *node).values():
        before = ended[below]
        if before.state == "failed":
            return f"needs {before.stage}, which failed"
        if before.state == "skipped":
            return before.reason if before.reason.startswith("needs ") else f"needs {before.stage}: {before.reason}"
    return ""


def _run(node: Node, book: Path) -> DryRunOutcome:
    stage = f"{node[0]}@{node[1]}"
    log = book / "logs" / f"{stage}.txt"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pipeline", *node, "--book", book.as_posix()]
    begin = perf_counter()
    with log.open("wb") as file, listening() as exit_file, _termination_as_exit():
        variables = environment() | {"WEAK2MASK_TRACKING": "off", EXIT_FILE: str(exit_file)}
        process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process)
            raise
        process.returncode = code = os.waitstatus_to_exitcode(status)
        seconds, reported = perf_counter() - begin, read_exit(exit_file)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / GIB
    if code == 0:
        return DryRunOutcome(stage, "ran", seconds, peak, log=log.as_posix())
    killed = f"ended by signal {-code}, most often for want of memory" if code < 0 else f"exit code {code}"
    return DryRunOutcome(
        stage, "failed", seconds, peak, reported[1] if reported else f"{killed}\n{_tail(log)}", log.as_posix()
    )


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Who ends the dry run ends its stage too: a signal to this process raises SystemExit."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


def _tail(log: Path) -> str:
    """The last lines as a terminal would show them: progress bars overwrite themselves."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines]
    return "\n".join([line for line in shown if line][-SHOWN_LINES:])


def _line(result: DryRunOutcome) -> str:
    if result.state == "skipped":
        return f"{result.stage} skipped: {result.reason}"
    measured = f"{result.stage} {result.state}, {result.seconds:.1f} s, {result.peak_gib:.2f} GiB"
    if result.state == "ran":
        return measured
    shown = "\n".join(f"    {line}" for line in result.reason.splitlines()[-SHOWN_LINES:])
    return f"{measured}; {result.log} has all it wrote:\n{shown}"
