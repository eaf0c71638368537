"""Commands beside each other on one project, projects on one cache and one store of runs."""

from __future__ import annotations

import hashlib
import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.running.at_work import being_written
from tests.helpers.tiny_graph import DIAMOND, ENVIRONMENT, dvc, project, stage
from tests.reliability import commands
from tests.reliability.frame import Case

ROOT = Path(__file__).parents[3]
QUIET = ENVIRONMENT | {"PYTHONPATH": str(ROOT), "WEAK2MASK_TRACKING": "off", "WEAK2MASK_PREFORK": "off"}
REPRO = [sys.executable, "-m", "dvc", "repro"]
COMMANDS: dict[str, list[str]] = {
    "repro": REPRO,
    "waiting repro": [sys.executable, "-m", "dvc", "--wait-for-lock", "repro"],
    "run": [sys.executable, commands.__file__, "run"],
    "flow": [sys.executable, commands.__file__, "flow"],
    "gc": [sys.executable, "-m", "dvc", "gc", "--workspace", "--force"],
}
BUSY = re.compile(
    r"Unable to acquire lock|is busy, it is being blocked by|another command is at work|another DVC process holds"
)
"""What whoever comes second may say."""


def at_once(folders: Sequence[Path], names: Sequence[str], delays: Sequence[float]) -> Counter[str]:
    """Start commands, each in its folder after its delay; how many completed and how many said that they have to wait.

    Any other end is an AssertionError.
    """
    started: list[tuple[str, subprocess.Popen[str]]] = []
    begin = time.monotonic()
    for delay, name, folder in sorted(zip(delays, names, folders, strict=True)):
        time.sleep(max(0.0, begin + delay - time.monotonic()))
        process = subprocess.Popen(
            COMMANDS[name], cwd=folder, env=QUIET, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append((name, process))
    seen: Counter[str] = Counter()
    for name, process in started:
        said, _ = process.communicate(timeout=300)
        assert not process.returncode or BUSY.search(said), f"{name} ended with {process.returncode}:\n{said}"
        assert "Traceback" not in said, said
        seen["had to wait" if process.returncode else "completed"] += 1
    return seen


def slow_diamond(chance: random.Random) -> Mapping[str, Any]:
    """The five stages, each of which takes up to half a second."""
    return {
        name: stage(content["outs"][0], *content["deps"], command=f"sleep {chance.uniform(0, 0.5):.2f}")
        for name, content in DIAMOND.items()
    }


def whole(folder: Path) -> None:
    """One more command completes, everything is up to date, nothing is locked, and the cache holds what it says."""
    dvc(folder, "repro", "-q")
    assert "up to date" in dvc(folder, "status")
    for name, content in DIAMOND.items():
        assert (folder / content["outs"][0]).read_text() == f"{content['outs'][0]}\n", name
    assert sorted(yaml.safe_load((folder / "dvc.lock").read_text())["stages"]) == sorted(DIAMOND)
    assert being_written() == {}


def cache_is_sound(cache: Path) -> None:
    """The name of every file of DVC's cache is the hash of its bytes."""
    files = [path for path in (cache / "files" / "md5").rglob("*") if path.is_file() and path.suffix != ".dir"]
    assert files
    for path in files:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        assert digest == path.parent.name + path.name, path


def one_project(number: int) -> Counter[str]:
    """Some commands on one project within two seconds."""
    chance = random.Random(number)
    folder = project(Path.cwd(), slow_diamond(chance))
    names = ["repro", *chance.choices(list(COMMANDS), k=2 + number % 3)]
    seen = at_once([folder] * len(names), names, [chance.uniform(0, 2) for _ in names])
    whole(folder)
    cache_is_sound(folder / ".dvc" / "cache")
    return seen


def one_cache(number: int) -> Counter[str]:
    """Two clones whose cache is one folder run the same stages; one drops meanwhile what it does not need itself."""
    chance = random.Random(number)
    stages, cache = slow_diamond(chance), Path.cwd() / "cache"
    clones = [project(Path.cwd() / name, stages) for name in ("one", "two")]
    (clones[1] / "params.txt").write_text("2\n")
    for clone in clones:
        dvc(clone, "cache", "dir", str(cache))
    folders = [*clones, clones[0]]
    seen = at_once(folders, ["repro", "repro", "gc"], [0, chance.uniform(0, 0.5), chance.uniform(0, 3)])
    for clone in clones:
        whole(clone)
    cache_is_sound(cache)
    return seen


def one_store(number: int) -> Mapping[str, int]:
    """Stages record in one new MLflow store at once; whoever is of the group may go on with what they made."""
    runs, folder = 3, Path.cwd() / "store"
    folder.mkdir()
    environment = QUIET | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    command = [sys.executable, "-m", "pipeline.tracking.recorder"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, cwd=folder, env=environment, umask=0o002, **pipes) for _ in range(runs)]
    for run, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write("".join(json.dumps(event) + "\n" for event in _events(run)))
        process.stdin.close()
        process.stdin = None
    for process in processes:
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said
        assert "does not record" not in said, said
    with sqlite3.connect(folder / "mlflow.db") as store:
        assert store.execute("select name, status from runs order by name").fetchall() == [
            (f"train@{run}", "FINISHED") for run in range(runs)
        ]
        assert store.execute("select count(*) from experiments where name = 'shared'").fetchone() == (1,)
        assert store.execute("select count(*) from latest_metrics").fetchone() == (runs,)
    for path in folder.glob("mlflow.db*"):
        assert path.stat().st_mode & 0o060 == 0o060, path
    return {"runs": runs}


def _events(run: int) -> list[dict[str, Any]]:
    start = {"event": "start", "name": f"train@{run}", "book": "shared", "parameters": {}, "tags": {}, "time": 1}
    return [
        start,
        {"event": "metrics", "values": {"loss": 1.0}, "step": 1, "time": 2},
        {"event": "end", "status": "FINISHED", "outputs": []},
    ]


CASES = {
    "one_project": Case(
        "`dvc repro`, `run`, the stages of `flow` and `dvc gc` at once on one project: each completes or says that it "
        "has to wait, and one more command completes",
        one_project,
        quick=1,
        long=40,
    ),
    "one_cache": Case(
        "Two clones run on one DVC cache, and one of them collects garbage: both complete, and the cache holds what it "
        "says",
        one_cache,
        quick=0,
        long=20,
    ),
    "one_store": Case(
        "Three stages record in one new MLflow store at once: every run is there, finished, and the group may write on",
        one_store,
        quick=0,
        long=10,
    ),
}
