"""Stages as forks of one process: the same output and end as a process of their own, and no fork outlives anybody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.book.artifacts import VERBS
from pipeline.running.handover import SOCKET, Request
from pipeline.running.prefork import prefork
from pipeline.running.stage_process import environment
from tests.helpers.processes import gone

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PHASE = "PYTEST_CURRENT_TEST"
"""A variable that changes while the test runs."""
LONGEST = 600
"""Seconds: no measure of anything, so that a test ends on a busy machine too."""
COMMAND = f"{sys.executable} -m pipeline "


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server for a project that is a copy: its process, which has only the command line loaded."""
    for room in ("pipeline", "stages", "models"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    prepare = {"toy": {"reader": "toy", "root": "params.yaml", "options": {"seed": 0, "train": 2, "val": 1}}}
    prepare["endless"] = prepare["toy"] | {"options": {"seed": 0, "train": 100000, "val": 1}}
    book = yaml.safe_load((ROOT / "params.yaml").read_text())["book"]
    sections: dict[str, Any] = {verb: {} for verb in VERBS} | {"book": book | {"targets": []}, "prepare": prepare}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv(PHASE)
    with prefork(["pipeline.__main__"]) as pid:
        yield pid


def start(words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", "-c", COMMAND + words],  # as DVC starts it
        env={name: value for name, value in environment().items() if name != PHASE} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends_with(command: subprocess.Popen[str]) -> int:
    command.communicate(timeout=LONGEST)
    return command.returncode


def forks(server: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def wait_for(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"it did not happen within {LONGEST} s")


def endless(server: int) -> tuple[subprocess.Popen[str], int]:
    """A stage that is at work, and its fork."""
    command = start("prepare endless")
    (fork,) = wait_for(lambda: forks(server))
    wait_for(lambda: list(Path("work").rglob("*.png")) or list(Path("work").rglob("*.jpg")))
    return command, fork


def test_a_fork_does_what_the_command_would_do(server: int) -> None:
    alone, forked = start("prepare nothing", WEAK2MASK_PREFORK=""), start("prepare nothing")
    assert alone.communicate() == forked.communicate()
    assert (alone.returncode, forked.returncode) == (2, 2)
    command = start("prepare toy")
    wait_for(lambda: forks(server))
    assert ends_with(command) == 0
    assert len(list(Path("work").rglob("catalogue.json"))) == 1
    assert forks(server) == []


def test_a_signal_to_the_command_ends_the_stage(server: int) -> None:
    command, fork = endless(server)
    (waiting,) = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split() or [str(command.pid)]
    os.kill(int(waiting), signal.SIGTERM)
    assert ends_with(command) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert gone(fork)


@pytest.mark.parametrize("victim", ["command", "fork", "server"])
def test_nothing_goes_on_when_one_of_them_is_killed(server: int, victim: str) -> None:
    command, fork = endless(server)
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
    waiting = int(children[0]) if children else command.pid
    os.kill({"command": waiting, "fork": fork, "server": server}[victim], signal.SIGKILL)
    assert ends_with(command) in (-signal.SIGKILL, 128 + signal.SIGKILL)
    wait_for(lambda: gone(fork))
    assert ends_with(start("prepare toy")) == 0, "a server that is gone is not missed"


@pytest.mark.parametrize("what", ["source", "variable", "folder"])
def test_what_would_not_be_the_same_is_done_without_a_fork(server: int, what: str, monkeypatch: Any) -> None:
    command = start("prepare toy")
    wait_for(lambda: forks(server))
    assert ends_with(command) == 0
    if what == "source":
        Path("models/errors.py").write_text(Path("models/errors.py").read_text() + "\n")
    elif what == "variable":
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
    else:
        monkeypatch.chdir("pipeline")
    seen = []
    extra = {"PYTHONPATH": ".."} if what == "folder" else {}
    command = start("prepare nothing", **extra)
    while command.poll() is None:
        seen += forks(server)
    assert ends_with(command) == 2
    assert seen == []


def test_a_folder_with_too_long_a_path_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("t" * 100)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with prefork([]) as pid:
        assert pid == 0
        assert SOCKET not in os.environ
    assert capfd.readouterr().err == ""


def test_what_may_differ_between_a_run_and_its_stages() -> None:
    request = Request([], "/a", {"PATH": "/bin", "DVC_STAGE": "x", "SHLVL": "2", "_": "sh", "PS1": "$"}, ())
    for more in ({"WEAK2MASK_EXIT_FILE": "a"}, {"CUDA_VISIBLE_DEVICES": "1"}, {"OMP_WAIT_POLICY": "PASSIVE"}):
        assert request.matches(Path("/a"), {"PATH": "/bin"} | more)
    assert not request.matches(Path("/b"), {"PATH": "/bin"})
    for other in ({"PATH": "/usr/bin"}, {"PATH": "/bin", "OMP_NUM_THREADS": "1"}, {}):
        assert not request.matches(Path("/a"), other)


def test_loading_the_libraries_asks_for_no_gpu() -> None:
    """CUDA works in no fork of a process that has asked how many GPUs there are."""
    program = """
import torch

def refuse(*given):
    raise RuntimeError("a GPU was asked for")

torch._C._cuda_getDeviceCount = torch.cuda._lazy_init = refuse
from importlib import import_module
from pipeline.running.prefork import LIBRARIES
for name in LIBRARIES:
    import_module(name)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), check=True, timeout=300)
