"""SIGKILL of a command that runs a book: all that it has started ends too, and the same command then completes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.book.artifacts import VERBS
from tests.helpers.processes import descendants, gone
from tests.test_end_to_end import ENVIRONMENT, ROOT, project

PATIENCE = 30.0
"""Seconds for the kernel to end some processes, on a busy machine; what goes on does so for longer."""
LONGEST = 1200.0
"""Seconds until a stage is at work: an upper bound, so that the test ends."""
IMAGES = 100_000
"""Of a data set that takes minutes to make."""
AT_WORK = "prepare@toy: about"
"""What the stage that makes it says first."""


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
        pytest.param("run", {"WEAK2MASK_PREFORK": "off", "SHELL": "/bin/sh"}, marks=pytest.mark.slow, id="run-alone"),
        pytest.param("flow", {}, marks=pytest.mark.slow, id="flow"),
    ],
)
def test_nothing_goes_on(command: str, variables: dict[str, str], tmp_path: Path) -> None:
    folder = project(tmp_path / "book", {})
    write_book(folder, IMAGES)
    words = [sys.executable, "-m", "pipeline", command]
    environment = ENVIRONMENT | {"PREFECT_HOME": str(tmp_path / "prefect"), "WEAK2MASK_TRACKING": "on"} | variables
    said = folder / "log"
    with said.open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        wait_for(lambda: process.poll() is not None or AT_WORK in said.read_text(), LONGEST, "a stage is at work")
        below = descendants(process.pid)
        assert len(below) >= 3, said.read_text()
        process.kill()
        process.wait()
    wait_for(lambda: all(gone(pid) for pid in below), PATIENCE, f"all of {list(map(named, below))} end")
    write_book(folder, 2)
    environment |= {"WEAK2MASK_PREFORK": "off"}  # one stage alone is sooner done without
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def named(pid: int) -> str:
    """The end of a process's command line, while it is there."""
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_text().replace(chr(0), ' ')[-80:]}"
    except OSError:
        return str(pid)
