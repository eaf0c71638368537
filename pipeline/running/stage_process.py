"""``dvc repro`` as a child process: what it is given, what it writes, how it ended, and its end before its time.

A command of this project leaves its exit code and its message in the file that ``WEAK2MASK_EXIT_FILE`` names, since
DVC hides both.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic, sleep
from typing import IO, Literal

from models.errors import TransientError
from pipeline.compute.lifeline import COMMAND, bound_command
from pipeline.compute.scratch import SCRATCH

EXIT_FILE = "WEAK2MASK_EXIT_FILE"
GRACE = 20.0
"""Seconds that a stage gets to save its state (a training ends at a step) before it is killed."""
KEPT_LINES = 400
"""Of what a stage and DVC wrote, the last ones: enough to say why a stage failed."""

_HELD = re.compile(r"Unable to acquire lock|is busy, it is being blocked by")
_HOLDER = re.compile(r"^\s+\(PID (\d+)\):", re.MULTILINE)
_LOCK_TALK = re.compile(
    r"^(ERROR: .*(Unable to acquire lock|is busy, it is being blocked by)|\s+\(PID \d+\): |"
    r"If there are no processes with such PIDs)"
)
"""Said better by ``pipeline.running.at_work``: whoever removes DVC's list of locks breaks what is at work."""
_EXITED = re.compile(r"exited with (-?\d+)")
_CHATTER = re.compile(
    r"^(Data and pipelines|Use `dvc push`|To track the changes|\s+git add|To enable auto staging|\s+dvc config core)"
)
_BY_THE_MACHINE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGBUS)


@dataclass(frozen=True)
class StageOutcome:
    """How a stage ended."""

    state: Literal["ran", "cached", "restored", "failed", "interrupted", "blocked"]
    """cached: up to date; restored: from DVC's run-cache; interrupted: worth trying again; blocked: not started,
    because a stage above it failed."""
    code: int = 0
    message: str = ""
    held_by: tuple[int, ...] = ()
    """The processes that it would have had to wait for."""

    @property
    def failed(self) -> bool:
        """Whether its output is not there."""
        return self.state in ("failed", "interrupted", "blocked")


_ENDING = StageOutcome("failed", 128 + signal.SIGTERM, "not finished: the flow run is ending")


def repro_command(addresses: Sequence[str], *options: str) -> list[str]:
    """The ``dvc repro`` that waits for its turn at DVC's lock, and ends with the process that starts it."""
    return bound_command("dvc", "--wait-for-lock", "repro", *addresses, *options)


def environment() -> dict[str, str]:
    """The caller's, for a process that may bind itself to it, with this interpreter first: dvc.yaml says ``python``."""
    interpreter = str(Path(sys.executable).parent)
    path = interpreter + os.pathsep + os.environ.get("PATH", "")
    return os.environ | {"PATH": path, COMMAND: str(os.getpid())}


def tell_exit(code: int, message: str) -> None:
    """Leave the exit code and the message of this process for the run that it is part of."""
    if exit_file := os.environ.get(EXIT_FILE):
        with suppress(OSError):  # the run has gone
            Path(exit_file).write_text(f"{code}\n{message}", encoding="utf-8")


@contextmanager
def listening() -> Iterator[Path]:
    """A new place for a process to :func:`tell_exit` at."""
    SCRATCH.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="exit-", dir=SCRATCH) as folder:
        yield Path(folder).absolute() / "told"


def read_exit(exit_file: Path) -> tuple[int, str] | None:
    """(exit code, message) that a process left, or None: it ended without a word."""
    if not exit_file.is_file():
        return None
    code, _, message = exit_file.read_text(encoding="utf-8").partition("\n")
    return int(code), message.removeprefix("error: ")


@contextmanager
def under_way(stage: str) -> Iterator[None]:
    """Leave the name of the stage beside the exit file until it ends, well or not: it stays if the stage is killed."""
    exit_file = os.environ.get(EXIT_FILE)
    mark = Path(f"{exit_file}.begun") if exit_file else None
    if mark is not None:
        with suppress(OSError):  # the run has gone
            mark.write_text(stage, encoding="utf-8")
    try:
        yield
    finally:
        if mark is not None:
            with suppress(OSError):
                mark.unlink()


def read_killed(exit_file: Path) -> str | None:
    """The stage that was ended before it could say a word, or None."""
    mark = Path(f"{exit_file}.begun")
    return mark.read_text(encoding="utf-8") if mark.is_file() else None


class StageProcesses:
    """The stages that run now, each the leader of a process group of its own, so that none outlives :meth:`stop`."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = Lock()
        self.stopped = False

    def run(
        self, address: str, on_line: Callable[[str], None], extra: Mapping[str, str], force: bool = False
    ) -> StageOutcome:
        """Run one stage, not the ones above it; each line that it writes goes to ``on_line``."""
        with listening() as exit_file:
            command = repro_command([address], "--single-item", *(["--force"] if force else []))
            process = self._start(command, environment() | dict(extra) | {EXIT_FILE: str(exit_file)})
            if process is None:
                return _ENDING
            lines: deque[str] = deque(maxlen=KEPT_LINES)
            started = False
            assert process.stdout is not None
            for line in _lines(process.stdout):
                lines.append(line)
                started = started or _starts(line)  # a long stage writes more lines than are kept
                if not _LOCK_TALK.match(line):
                    on_line(line)
            returncode = process.wait()
            with self._lock:
                self._running.discard(process)
            if returncode and self.stopped:
                return _ENDING
            return judge(returncode, read_exit(exit_file), list(lines), started)

    def stop(self) -> None:
        """End what runs, with all its children; nothing starts any more."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        for process in running:
            _signal_group(process, signal.SIGTERM)
        end = monotonic() + GRACE
        while monotonic() < end and any(_lives(process) for process in running):
            sleep(0.1)
        for process in running:
            _signal_group(process, signal.SIGKILL)

    def _start(self, command: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self.stopped:
                return None
            process = subprocess.Popen(
                command,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(process)
            return process


def judge(
    returncode: int, reported: tuple[int, str] | None, lines: Sequence[str], started: bool = False
) -> StageOutcome:
    """How a ``dvc repro --single-item`` ended.

    Args:
        returncode: DVC's.
        reported: the exit code and the message that the stage's command left, if it could.
        lines: what both wrote last.
        started: DVC said that it runs the stage, in these lines or before them.
    """
    text = "\n".join(lines)
    if returncode == 0:
        ran = started or any(map(_starts, lines))
        return StageOutcome("ran" if ran else "restored" if "is cached - skipping run" in text else "cached")
    if reported is not None:
        code, message = reported
        return StageOutcome("interrupted" if code == TransientError.exit_code else "failed", code, message)
    if _HELD.search(text):
        pids = tuple(dict.fromkeys(int(pid) for pid in _HOLDER.findall(text)))
        message = "another DVC process holds what this stage needs. Wait until it has ended, then run again."
        return StageOutcome("interrupted", TransientError.exit_code, message, pids)
    exited = _EXITED.search(text)
    code = int(exited[1]) if exited else returncode
    number = -code if code < 0 else code - 128
    if number in _BY_THE_MACHINE:
        name = signal.Signals(number).name
        why = ", most often for want of memory" if number == signal.SIGKILL else ""
        return StageOutcome("interrupted", 128 + number, f"ended by {name}{why}")
    return StageOutcome("failed", code if 0 < code < 128 else 1, _tail(lines))


def changed_stages(addresses: Sequence[str]) -> set[str]:
    """The addresses among these that ``dvc status`` finds not up to date; all of them when it cannot say."""
    if not addresses:
        return set()  # DVC would take none for all
    command = bound_command("dvc", "--wait-for-lock", "status", "--json", *addresses)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    try:
        names = json.loads(done.stdout)
    except ValueError:
        return set(addresses)
    return {address for address in addresses if address in names or address.removeprefix("dvc.yaml:") in names}


def _starts(line: str) -> bool:
    """Whether DVC says in this line that it runs the stage."""
    return line.startswith("Running stage")


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines as a terminal would show them in the end; no empty ones, and none of DVC's hints."""
    for raw in stream:
        line = raw.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2].rstrip()
        if line and not _CHATTER.match(line):
            yield line


def _tail(lines: Sequence[str], most: int = 6) -> str:
    return "\n".join([line for line in lines if not line.startswith("::")][-most:])


def _lives(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process or one of its children is there: DVC ends at once, a training at its next step."""
    process.poll()  # a leader that nobody has waited for still counts as there
    return _signal_group(process, 0)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether there was anybody to be told."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
