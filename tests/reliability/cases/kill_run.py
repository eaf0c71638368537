"""A whole run of a small book that is killed again and again, under DVC, under Prefect and with chunks on Dask."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import yaml

from pipeline.book.artifacts import VERBS
from pipeline.running.times import FOLDER as TIMES
from tests.helpers.ports import free_port
from tests.helpers.processes import descendants, gone
from tests.helpers.tiny_graph import ENVIRONMENT as DVC_ENVIRONMENT
from tests.reliability.book import ROOT, WORK, Tree, content, tree
from tests.reliability.frame import ENVIRONMENT, Case, Counts

KILLS = 3
"""Of a trial, before the run that completes."""
LONGEST = 1800.0
"""Seconds of a run without a fault, on a busy machine."""
AT_ONCE = 60.0
"""Seconds until nothing is left of a run whose command was killed, on a busy machine."""
VICTIMS = ("everything", "the command", "one process")


def trial(command: str, dask: bool, number: int) -> Counts:
    """Start a run and kill it, some times; then one command completes it, with the bytes of a run without a fault."""
    random = Random(number)
    expected, seconds = _reference()
    folder, seen = _project(Path("killed").absolute()), {"kills": 0, "runs that ended first": 0}
    with _cluster() if dask else nullcontext({}) as variables:
        for _ in range(KILLS):
            victim, moment = random.choice(VICTIMS), random.random() * seconds
            killed = _killed(folder, command, variables, victim, moment)
            seen["kills" if killed else "runs that ended first"] += 1
            seen[f"kills of {victim}"] = seen.get(f"kills of {victim}", 0) + killed
        done = _run(folder, command, variables)
    where = f"after {seen['kills']} kills `{command}` ended with {done.returncode}"
    assert done.returncode == 0, f"{where}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    found = _artefacts(folder)
    differing = sorted(path for path in {*found, *expected} if found.get(path) != expected.get(path))
    assert not differing, f"{where}; other bytes: {differing[:5]}"
    return seen


def _book() -> dict[str, Any]:
    """A part of the small book: made images, a classifier, its CAMs. Each stage more is one more for each run."""
    book = content()
    kept = {
        "annotate": ["tags"],
        "train": ["classifier"],
        "export_cams": ["cam"],
    }
    return book | {
        verb: {name: book[verb][name] for name in kept.get(verb, ())}
        for verb in VERBS
        if verb not in ("prepare", "import_weights")
    }


@cache
def _reference() -> tuple[Tree, float]:
    """What a run without a fault makes, and its seconds."""
    with tempfile.TemporaryDirectory(prefix="w2m-reference-") as place:
        folder = _project(Path(place) / "reference")
        start = time.monotonic()
        done = _run(folder, "run", {})
        assert done.returncode == 0, f"without a fault: {done.stdout[-1500:]}{done.stderr[-1500:]}"
        return _artefacts(folder), time.monotonic() - start


def _artefacts(folder: Path) -> Tree:
    """All below the work folder but the seconds that stages took, which no run repeats."""
    return {path: digest for path, digest in tree(folder / WORK).items() if Path(path).parts[0] != TIMES}


def _project(folder: Path) -> Path:
    """A project of its own with the book: the code by links."""
    folder.mkdir()
    for room in ("pipeline", "stages", "models", "dvc.yaml", ".dvcignore", "prefect.toml"):
        (folder / room).symlink_to(ROOT / room)
    (folder / "params.yaml").write_text(yaml.safe_dump(_book(), sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(words, cwd=folder, env=_environment({}), check=True)
    return folder


def _environment(variables: dict[str, str]) -> dict[str, str]:
    patience = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240"}  # for a killed one too
    return DVC_ENVIRONMENT | ENVIRONMENT | {"PYTHONPATH": str(ROOT)} | patience | variables


def _run(folder: Path, command: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pipeline", command]
    environment = _environment(variables)
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST
    )


def _killed(folder: Path, command: str, variables: dict[str, str], victim: str, moment: float) -> bool:
    """Start a run and send SIGKILL after ``moment`` seconds; whether it was still at work then."""
    with (folder / "killed.log").open("ab") as log:
        words = [sys.executable, "-m", "pipeline", command]
        process = subprocess.Popen(words, cwd=folder, env=_environment(variables), stdout=log, stderr=log)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
            return False
        below = descendants(process.pid)
        victims = {
            "everything": [process.pid, *below],
            "the command": [process.pid],
            "one process": [Random(moment).choice(below or [process.pid])],
        }[victim]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(LONGEST)  # a run whose stage was killed says so, and ends
        _wait_for(below, LONGEST if victim == "one process" else AT_ONCE)
        return True


def _wait_for(processes: list[int], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not all(gone(pid) for pid in processes):
        assert time.monotonic() < end, f"processes of a run that was killed go on: {processes}"
        time.sleep(0.2)


@contextmanager
def _cluster() -> Iterator[dict[str, str]]:
    """A Dask cluster on this machine that outlives the runs, and what says to a run that it is there."""
    port = free_port()
    words = [sys.executable, "-m", "pipeline", "cluster", "--workers", "1", "--port", str(port)]
    process = subprocess.Popen(words, env=_environment({}), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _listening(port)
        yield {"WEAK2MASK_ENGINE": "dask", "WEAK2MASK_DASK": f"tcp://127.0.0.1:{port}"}
    finally:
        process.terminate()
        process.wait(60)


def _listening(port: int) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.5)
    raise TimeoutError("no Dask scheduler within 300 s")


HOLDS = (
    "where the command is, nothing goes on; one command then completes it, and all artefacts have the bytes of a run "
    "without a fault"
)
CASES = {
    name: Case(
        f"`{command}` {where}is killed at random moments: everything, the command or one of its processes; {HOLDS}",
        partial(trial, command, dask), quick=0, long=long, seconds=4 * LONGEST, before=_reference,
    )
    for name, command, where, dask, long in (
        ("dvc", "run", "", False, 20), ("flow", "flow", "", False, 20),
        ("dask", "run", "with chunks on Dask ", True, 12),
    )
}  # fmt: skip
