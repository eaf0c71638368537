"""A command in a group of its own: interrupted once, however the interruption came, and stopped with who started it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import descendants, gone, hear_interruptions

LONGEST = 120
"""Seconds: no measure of anything, so that a test ends on a busy machine too."""
ROOT = Path(__file__).parents[3]
STAGE = """
import signal, sys, time
from pathlib import Path
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
Path("begun").touch()
while not seen:
    time.sleep(0.01)
time.sleep(60 if Path("long").exists() else 0.5)  # a training ends its step
Path("saved").write_text(str(len(seen)))
"""
DVC = """
import signal, subprocess, sys
from pathlib import Path
stage = subprocess.Popen([sys.executable, "stage.py"])
signal.signal(signal.SIGINT, signal.SIG_IGN)
stage.wait()
Path("next").touch()
"""
RUN = """
import os, sys
from pipeline.running.own_group import own_group
with own_group([sys.executable, "dvc.py"], os.environ) as process:
    process.wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("stage", STAGE), ("dvc", DVC), ("run", RUN)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose stage is at work; the run alone is known to who interrupts it."""
    with subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        preexec_fn=hear_interruptions,
    ) as process:
        wait_for((folder / "begun").exists)
        yield process
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_an_interruption_of_the_run_alone_reaches_its_stage(folder: Path, run: subprocess.Popen[bytes]) -> None:
    below = descendants(run.pid)
    assert len(below) == 2
    run.send_signal(signal.SIGINT)
    assert run.wait(LONGEST) != 0
    assert (folder / "saved").read_text() == "1"
    assert not (folder / "next").exists()
    assert all(gone(pid) for pid in below)


def test_a_second_interruption_waits_for_nobody(folder: Path, run: subprocess.Popen[bytes]) -> None:
    below = descendants(run.pid)
    (dvc,) = (pid for pid in below if os.getpgid(pid) == pid)
    (folder / "long").touch()
    run.send_signal(signal.SIGINT)
    wait_for(lambda: gone(dvc))
    run.send_signal(signal.SIGINT)
    run.wait(LONGEST)
    wait_for(lambda: all(gone(pid) for pid in below))
    assert not (folder / "saved").exists()


def test_it_is_stopped_and_goes_on_with_the_run(run: subprocess.Popen[bytes]) -> None:
    everybody = [run.pid, *descendants(run.pid)]
    run.send_signal(signal.SIGTSTP)
    wait_for(lambda: [state(pid) for pid in everybody] == ["T", "T", "T"])
    run.send_signal(signal.SIGCONT)
    wait_for(lambda: "T" not in map(state, everybody))


def test_the_interruption_of_a_terminal_comes_once(folder: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "run.py"], os.environ | {"PYTHONPATH": str(ROOT)})
    wait_for((folder / "begun").exists)
    below = descendants(pid)
    os.write(terminal, b"\x03")
    with suppress(OSError):  # the terminal has gone
        while os.read(terminal, 1024):
            pass
    os.waitpid(pid, 0)
    os.close(terminal)
    assert (folder / "saved").read_text() == "1"
    assert all(gone(each) for each in below)
