"""CPU seconds of commands that do little: what starting costs, beside what it may cost.

``python -m benchmarks.startup PROJECT [--rounds 5] [--only check,table] [--json results/commands/startup.json]``:
PROJECT is a checkout whose toy book has run to its end, and its code is what is measured; nothing in it changes but
``report/``. Each command is a process with one thread; the rounds go through all commands in turn, after one that warms
the file cache. CPU seconds are user and system together, children included. Beside others that compute they grow too,
up to twice: the row ``python loop`` is the same work every time and says how fast the machine was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

LIBRARIES = ("torch", "torchvision", "dvc", "mlflow", "typer", "pydantic")


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        arguments: of the Python interpreter.
        target: CPU seconds that it may take at most; None: measured to explain the others.
        says: what it has to print, or it did not do what is measured.
        recorded: whether a recorder of MLflow may start.
    """

    arguments: tuple[str, ...]
    target: float | None = None
    says: str = ""
    recorded: bool = True


def cases(images: Path, out: Path) -> dict[str, Case]:
    """The commands by name; ``predict`` reads one image in ``images``."""
    command, dvc = ("-m", "pipeline"), ("-m", "dvc")
    predict = ("predict", str(images), "--checkpoint", "segmenter", "--out", str(out), "--overwrite")
    return {
        "python loop": Case(("-c", "sum(i * i for i in range(3_000_000))")),
        "--help": Case((*command, "--help"), 0.4, "Usage"),
        "check": Case((*command, "check"), 0.6, "every name and option resolves"),
        "check voc12": Case((*command, "check", "--book", "recipes/voc12"), 0.6, "every name and option resolves"),
        "table": Case((*command, "table"), 1.5, "Written"),
        "show": Case((*command, "show", "segmenter_val"), 1.0, "evaluate@segmenter_val"),
        "predict": Case((*command, *predict), 3.0, "1 of 1 images"),
        "stage": Case((*command, "import_weights", "random"), 2.0),
        "stage, not recorded": Case((*command, "import_weights", "random"), None, recorded=False),
        "import torch": Case(("-c", "import torch")),
        "import mlflow": Case(("-c", "from mlflow.tracking import MlflowClient")),
        "dvc repro": Case((*dvc, "repro", "dvc.yaml"), 2.5, "up to date"),
        "dvc repro, all books read": Case(("-c", "from dvc.repo import Repo; Repo().index.graph")),
        "import dvc": Case(("-c", "import dvc.repo, dvc.commands.repro, dvc.stage.cache")),
    }


def cpu_seconds(case: Case, project: Path, store: Path) -> float:
    """Of one run, its children included.

    Raises:
        SystemExit: it failed, or did not say what it has to say.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "WEAK2MASK_TRACKING": "on" if case.recorded else "off",
    }
    if case.arguments[:3] == ("-m", "pipeline", "import_weights"):  # writes to the store, which table only reads
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}"
    with TemporaryDirectory() as folder:
        log = Path(folder) / "output"
        with log.open("w") as output:
            command = [sys.executable, *case.arguments]
            process = subprocess.Popen(command, cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        text = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode or case.says not in text:
        raise SystemExit(f"{' '.join(case.arguments)} in {project}: exit code {process.returncode}\n{text[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def measure(chosen: dict[str, Case], project: Path, store: Path, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every case, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for number in range(rounds + 1):
        for name, case in chosen.items():
            used = cpu_seconds(case, project, store)
            if number:  # the first round warms the cache
                seconds[name].append(used)
    return seconds


def summary(chosen: dict[str, Case], seconds: dict[str, list[float]]) -> dict[str, dict[str, float | bool | None]]:
    """Of each case the target, and best, median and worst, in CPU seconds."""
    return {
        name: {
            "target": case.target,
            "best": round(min(seconds[name]), 3),
            "median": round(median(seconds[name]), 3),
            "worst": round(max(seconds[name]), 3),
            "met": None if case.target is None else min(seconds[name]) < case.target,
        }
        for name, case in chosen.items()
    }


def _print(rows: dict[str, dict[str, float | bool | None]]) -> None:
    print(f"{'CPU seconds':26} {'best':>6} {'median':>7} {'worst':>6} {'target':>7}")
    for name, row in rows.items():
        target = "" if row["target"] is None else f"< {row['target']:.1f} {'' if row['met'] else ' missed'}"
        print(f"{name:26} {row['best']:6.2f} {row['median']:7.2f} {row['worst']:6.2f}   {target}")


def main() -> None:
    """Measure, print, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="root of a project whose toy book has run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    pictures = sorted((project / "work/toy/catalogues/toy/images").glob("val_*"))
    if not pictures:
        raise SystemExit(
            f"{project}: expected a toy book that has run (python -m pipeline run), found no images of it."
        )
    with TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        (images / pictures[0].name).write_bytes(pictures[0].read_bytes())
        known = cases(images, Path(folder) / "masks")
        named = arguments.only.split(",") if arguments.only else list(known)
        if unknown := [name for name in named if name not in known]:
            raise SystemExit(f"--only: expected some of {', '.join(known)}, found {', '.join(unknown)}.")
        chosen = {name: known[name] for name in named}
        rows = summary(chosen, measure(chosen, project, Path(folder) / "runs.db", arguments.rounds))
    _print(rows)
    if arguments.json:
        about = {"python": platform.python_version(), "cores": os.cpu_count(), "rounds": arguments.rounds}
        content = about | {name: version(name) for name in LIBRARIES} | {"cpu_seconds": rows}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
