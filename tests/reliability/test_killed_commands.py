"""SIGKILL of a command that runs a book: all that it has started ends too, and the same command then completes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.book.artifacts import VERBS
from tests.helpers.ports import free_port
from tests.helpers.processes import descendants, gone, hear_interruptions
from tests.test_end_to_end import ENVIRONMENT, ROOT, project

PATIENCE = 30.0
"""Seconds for the kernel to end some processes, on a busy machine; what goes on does so for longer."""
LONGEST = 500.0
"""Seconds until a stage is at work, or a killed one recorded: an upper bound, so that the test ends."""
IMAGES = 100_000
"""Of a data set that takes minutes to make."""
RECORDER = "pipeline.tracking.recorder"
"""It ends when it has written down what became of the stages."""


def write_book(folder: Path, images: int) -> None:
    """A book of one stage, which makes that many images."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    toy = {"reader": "toy", "root": "params.yaml", "options": {"seed": 0, "train": images, "val": 1}}
    sections: dict[str, Any] = {verb: {} for verb in VERBS}
    content = sections | {"book": content["book"] | {"targets": []}, "prepare": {"toy": toy}}
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        pytest.param("run", {}, id="run"),
        pytest.param("run", {"WEAK2MASK_TRACKING": "on"}, marks=pytest.mark.slow, id="run-recorded"),
        pytest.param("run", {"WEAK2MASK_PREFORK": "off"}, marks=pytest.mark.slow, id="run-alone"),
        pytest.param("flow", {}, marks=pytest.mark.slow, id="flow"),
        pytest.param("run --max-steps 1 --resume", {}, marks=pytest.mark.slow, id="dry-run"),
    ],
)
def test_nothing_goes_on(command: str, variables: dict[str, str], tmp_path: Path) -> None:
    folder = project(tmp_path / "book", {})
    write_book(folder, IMAGES)
    words = [sys.executable, "-m", "pipeline", *command.split()]
    environment = ENVIRONMENT | {"PREFECT_HOME": str(tmp_path / "prefect")} | variables
    said = folder / "log"
    with said.open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        wait_for(lambda: process.poll() is not None or any(pictures(folder)), LONGEST, "a stage is at work")
        below = {pid: command_line(pid) for pid in descendants(process.pid)}
        assert below, said.read_text()  # the stage, and but for a dry run DVC
        process.kill()
        process.wait()
    recorders = [pid for pid, line in below.items() if RECORDER in line]
    assert len(recorders) == int("WEAK2MASK_TRACKING" in variables)
    wait_for(lambda: all(gone(pid) for pid in {*below} - {*recorders}), PATIENCE, f"all but {recorders} end: {below}")
    wait_for(lambda: all(gone(pid) for pid in recorders), LONGEST, "the recorder ends")
    assert recorded(folder) == ["KILLED"] * len(recorders)
    write_book(folder, 2)
    environment |= {"WEAK2MASK_PREFORK": "off"}  # one stage alone is sooner done without
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert recorded(folder) == ["KILLED", "FINISHED"] * len(recorders)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables", [{}, pytest.param({"WEAK2MASK_PREFORK": "off"}, marks=pytest.mark.slow)], ids=["run", "run-alone"]
)
def test_an_interruption_of_the_command_alone_ends_it(variables: dict[str, str], tmp_path: Path) -> None:
    """An editor's stop button, ``kill -INT`` or ``timeout -s INT`` tells the command and nobody else."""
    folder = project(tmp_path / "book", {})
    write_book(folder, IMAGES)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run"],
            cwd=folder,
            env=ENVIRONMENT | variables,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=hear_interruptions,
        )
    wait_for(lambda: process.poll() is not None or any(pictures(folder)), LONGEST, "a stage is at work")
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(LONGEST) == 128 + signal.SIGINT
    assert all(gone(pid) for pid in below)


def test_nothing_of_a_deployment_goes_on(tmp_path: Path) -> None:
    """SIGKILL of ``serve`` in a run of its deployment: the server stays, and another ``serve`` goes on."""
    folder, port = project(tmp_path / "book", {}), free_port()
    write_book(folder, IMAGES)
    environment = ENVIRONMENT | {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    start = [sys.executable, "-m", "prefect", "deployment", "run", "weak2mask/book"]

    def started(*more: str) -> bool:
        done = subprocess.run([*start, *more], cwd=folder, env=environment, capture_output=True, text=True, check=False)
        return done.returncode == 0  # not before the server and the deployment are there

    with running(folder, environment, "server", "--port", str(port)):
        with running(folder, environment, "serve") as serving:
            wait_for(started, LONGEST, "a run is asked for")
            wait_for(lambda: any(pictures(folder)), LONGEST, "a stage is at work")
            below = {pid: command_line(pid) for pid in descendants(serving.pid)}
            assert len(below) >= 2  # the flow and its stage
            serving.kill()
            serving.wait()
            wait_for(lambda: all(gone(pid) for pid in below), PATIENCE, f"all end: {below}")
        write_book(folder, 2)
        with running(folder, environment, "serve"):
            wait_for(lambda: started("--watch"), LONGEST, "a run completes")
    assert sum(1 for _ in pictures(folder)) >= 3


@contextmanager
def running(folder: Path, environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that stays, ended at the end."""
    with (folder / f"{words[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def pictures(folder: Path) -> Iterator[Path]:
    """Of a data set that is whole, or not yet."""
    return (path for path in (folder / "work").rglob("*") if path.suffix in (".png", ".jpg"))


def recorded(folder: Path) -> list[str]:
    """How the stages ended, in MLflow's words; none where nothing is recorded."""
    if not (folder / "mlflow.db").is_file():
        return []
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        return [status for (status,) in store.execute("SELECT status FROM runs ORDER BY start_time")]


def command_line(pid: int) -> str:
    """Of a process, or nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").replace("\0", " ")
    return ""
