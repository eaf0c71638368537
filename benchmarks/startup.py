"""CPU seconds of commands that do little: what starting costs, beside what it may cost.

``python -m benchmarks.startup PROJECT [--rounds 5] [--only check,table] [--json results/commands/startup.json]``:
PROJECT is a checkout whose toy book has run to its end, and its code is what is measured; nothing in it changes but
``report/``. Each command is a process with one thread; the rounds go through all commands in turn, after one that warms
the file cache. CPU seconds are user and system together, children and theirs included. Beside others that compute they
grow too, up to twice, and machines differ: the row ``python loop`` is the same work every time. Divided by it, figures
of two machines compare, and targets count for a machine on which it takes :data:`LOOP_SECONDS`. A floor is what the
libraries behind a command cost alone, in the same rounds: no code of the project can bring the command below it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import yaml

LIBRARIES = ("torch", "torchvision", "dvc", "mlflow", "typer", "pydantic")
LOOP = "python loop"
LOOP_SECONDS = 0.35
"""CPU seconds of the loop on the machine for which targets count."""
PR_SET_CHILD_SUBREAPER = 36
ONE_STAGE = "stages:\n  only:\n    cmd: echo made > made\n    outs: [made]\n"
"""The smallest dvc.yaml."""
ROOMS = ("pipeline", "stages", "models", "pyproject.toml", "prefect.toml", "dvc.yaml", ".dvcignore")
"""Of the project, linked into one with a book of stages that do nearly nothing."""
STAGES = 11
ONE_OF_THEM, ALL_OF_THEM, ONE_MORE = "run of one stage", f"run of {STAGES} stages", "a stage more in a run"
READ_ALL = "from dvc.repo import Repo; Repo().index.graph"
"""What every ``dvc repro`` does before it looks at a stage."""


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        arguments: of the Python interpreter.
        target: CPU seconds that it may take at most where the loop takes :data:`LOOP_SECONDS`; None: measured to
            explain the others.
        says: what it has to print, or it did not do what is measured.
        recorded: whether a recorder of MLflow may start.
        floor: names of the cases that it contains.
        folder: where it runs; None: in the project.
    """

    arguments: tuple[str, ...]
    target: float | None = None
    says: str = ""
    recorded: bool = True
    floor: tuple[str, ...] = ()
    folder: Path | None = None


def cases(images: Path, out: Path, small: Path, many: Path) -> dict[str, Case]:
    """The commands by name.

    Args:
        images: of which ``predict`` reads one.
        out: where it writes.
        small: a project of one stage that is not this project's.
        many: a project of :data:`STAGES` stages that are.
    """
    command, dvc = ("-m", "pipeline"), ("-m", "dvc")
    predict = ("predict", str(images), "--checkpoint", "segmenter", "--out", str(out), "--overwrite")
    shapes, torch, mlflow, least = (
        "import typer and pydantic",
        "import torch",
        "import mlflow",
        "dvc repro of one stage",
    )
    holds = "every name and option resolves"
    return {
        LOOP: Case(("-c", "s = 0\nfor i in range(5_000_000): s += i * i")),
        shapes: Case(("-c", "import pydantic.main, pydantic.type_adapter, typer.main, typer.rich_utils, yaml")),
        "--help": Case((*command, "--help"), 0.4, "Usage"),
        "check": Case((*command, "check"), 0.6, holds, floor=(shapes,)),
        "check voc12": Case((*command, "check", "--book", "recipes/voc12"), 0.6, holds, floor=(shapes,)),
        "table": Case((*command, "table"), 1.5, "Written", floor=(shapes,)),
        "show": Case((*command, "show", "segmenter_val"), 1.0, "evaluate@segmenter_val", floor=(shapes,)),
        torch: Case(("-c", "import torch")),
        "predict": Case((*command, *predict), 3.0, "1 of 1 images", floor=(torch,)),
        mlflow: Case(("-c", "from mlflow.tracking import MlflowClient")),
        "stage": Case((*command, "import_weights", "random"), 2.0, floor=(torch, mlflow)),
        "stage not recorded": Case((*command, "import_weights", "random"), None, recorded=False, floor=(torch,)),
        "import dvc": Case(("-c", "import dvc.repo, dvc.commands.repro, dvc.stage.cache")),
        least: Case((*dvc, "repro"), None, "up to date", floor=("import dvc",), folder=small),
        "dvc reads all books": Case(("-c", READ_ALL), floor=("import dvc",)),
        "dvc repro": Case((*dvc, "repro", "dvc.yaml"), 2.5, "up to date", floor=(least,)),
        "run": Case((*command, "run"), None, "Written", floor=(least,)),
        ONE_OF_THEM: Case((*command, "run", "--force", "import_weights@w0"), says="import_weights@w0", folder=many),
        ALL_OF_THEM: Case((*command, "run", "--force"), says=f"import_weights@w{STAGES - 1}", folder=many),
    }


def make_small(folder: Path) -> None:
    """A DVC project of one stage, which has run.

    Raises:
        subprocess.CalledProcessError: DVC does not run.
    """
    folder.mkdir()
    (folder / "dvc.yaml").write_text(ONE_STAGE, encoding="utf-8")
    for words in (("init", "--no-scm", "--quiet"), ("config", "core.analytics", "false"), ("repro", "--quiet")):
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=folder, check=True)


def make_many(folder: Path, project: Path) -> None:
    """A clone of the project, by links, with a book of stages that only write random weights.

    Raises:
        subprocess.CalledProcessError: DVC does not run.
    """
    folder.mkdir()
    for room in ROOMS:
        (folder / room).symlink_to(project / room)
    book = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    sections: dict[str, Any] = {name: {} for name, section in book.items() if name not in ("book", "table")}
    sections["import_weights"] = {f"w{k}": book["import_weights"]["random"] for k in range(STAGES)}
    sections["book"] = book["book"] | {"targets": [f"import_weights@w{k}" for k in range(STAGES)]}
    (folder / "params.yaml").write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)


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
            where = case.folder or project
            before = _used()
            process = subprocess.Popen(command, cwd=where, env=environment, stdout=output, stderr=subprocess.STDOUT)
            process.wait()
            with suppress(ChildProcessError):  # until the last is gone: a fork server ends after the command
                while True:
                    os.wait()
            seconds = _used() - before
        text = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode or case.says not in text:
        raise SystemExit(f"{' '.join(case.arguments)} in {project}: exit code {process.returncode}\n{text[-2000:]}")
    return seconds


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
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


def with_one_more(chosen: dict[str, Case], seconds: dict[str, list[float]]) -> dict[str, Case]:
    """The cases and, where both runs of a few stages are among them, what a stage more costs in a run."""
    if not {ONE_OF_THEM, ALL_OF_THEM} <= {*chosen}:
        return chosen
    pairs = zip(seconds[ALL_OF_THEM], seconds[ONE_OF_THEM], strict=True)
    seconds[ONE_MORE] = [(many - one) / (STAGES - 1) for many, one in pairs]
    return chosen | {ONE_MORE: Case((), 2.0)}


Row = dict[str, Any]


def summary(chosen: dict[str, Case], seconds: dict[str, list[float]]) -> dict[str, Row]:
    """Of each case the target, best, median and worst in CPU seconds, and as its floor the best of what it contains.

    ``loops`` is the best in units of the loop's best; a target is met where it is, by that, on the targets' machine.
    """
    loop = min(seconds[LOOP])
    rows: dict[str, Row] = {}
    for name, case in chosen.items():
        used = seconds[name]
        measured = bool(case.floor) and all(part in seconds for part in case.floor)
        rows[name] = {
            "target": case.target,
            "best": round(min(used), 3),
            "median": round(median(used), 3),
            "worst": round(max(used), 3),
            "loops": round(min(used) / loop, 2),
            "met": None if case.target is None else min(used) / loop * LOOP_SECONDS < case.target,
            "floor": round(sum(min(seconds[part]) for part in case.floor), 3) if measured else None,
            "floor_of": list(case.floor),
        }
    return rows


def _print(rows: dict[str, Row]) -> None:
    print(f"{'CPU seconds':26} {'best':>6} {'median':>7} {'worst':>6} {'loops':>6}  {'target':15} floor")
    for name, row in rows.items():
        target = "" if row["target"] is None else f"< {row['target']:.1f}{'' if row['met'] else ' missed'}"
        floor = "" if row["floor"] is None else f"{row['floor']:.2f} ({' and '.join(row['floor_of'])})"
        numbers = f"{row['best']:6.2f} {row['median']:7.2f} {row['worst']:6.2f} {row['loops']:6.2f}"
        print(f"{name:26} {numbers}  {target:15} {floor}")


def _commit(project: Path) -> str:
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(words, cwd=project, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    """Measure, print, and write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("project", type=Path, help="root of a project whose toy book has run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # children of children come here when theirs has ended
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
        small, many = Path(folder) / "small", Path(folder) / "many"
        known = cases(images, Path(folder) / "masks", small, many)
        named = arguments.only.split(",") if arguments.only else list(known)
        if unknown := [name for name in named if name not in known]:
            raise SystemExit(f"--only: expected some of {', '.join(known)}, found {', '.join(unknown)}.")
        chosen = {name: known[name] for name in dict.fromkeys([LOOP, *named])}
        folders = {case.folder for case in chosen.values()}
        if small in folders:
            make_small(small)
        if many in folders:
            make_many(many, project)
        seconds = measure(chosen, project, Path(folder) / "runs.db", arguments.rounds)
        rows = summary(with_one_more(chosen, seconds), seconds)
    _print(rows)
    if arguments.json:
        about: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": _commit(project)}
        about |= {"python": platform.python_version(), "cores": os.cpu_count(), "rounds": arguments.rounds}
        about |= {"loop_seconds": LOOP_SECONDS}
        content = about | {name: version(name) for name in LIBRARIES} | {"cpu_seconds": rows}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
