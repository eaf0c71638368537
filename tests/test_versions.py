"""DVC's commands that read other revisions and other repositories, on a clone with two commits and experiments."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ROOMS = ("pipeline", "stages", "models", "pyproject.toml", "dvc.yaml", ".dvcignore", ".gitignore")
METRICS = "work/toy/evaluations/boxes/metrics.json"
CORE = "annotate.boxes.options.core"
HIDDEN = ("MLFLOW_TRACKING_URI", "WEAK2MASK_RECORDER", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in HIDDEN} | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "WEAK2MASK_TRACKING": "off",
    "WEAK2MASK_DEVICE": "cpu",
    "WEAK2MASK_WORKERS": "1",
    "OMP_NUM_THREADS": "1",
    "DVC_NO_ANALYTICS": "1",
} | {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip

pytestmark = pytest.mark.slow


def say(folder: Path, *words: str, **variables: str) -> str:
    done = subprocess.run(
        words, cwd=folder, env=ENVIRONMENT | variables, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(folder: Path, *words: str, **variables: str) -> str:
    return say(folder, sys.executable, "-m", "dvc", *words, **variables)


def commit(folder: Path, message: str) -> None:
    say(folder, "git", "add", "-A")
    say(folder, "git", "commit", "-qm", message)


def metrics(folder: Path) -> Any:
    return json.loads((folder / METRICS).read_text())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[float]]]:
    """A project with a root book and a recipe, and the coverage of two committed runs: cores of 0 and of 1."""
    folder = tmp_path_factory.mktemp("versions") / "clone"
    folder.mkdir()
    for room in ROOMS:
        (shutil.copytree if (ROOT / room).is_dir() else shutil.copy)(ROOT / room, folder / room)
    shutil.copytree(ROOT / "recipes" / "folder", folder / "recipes" / "folder")
    shutil.copy(ROOT / "dvc.yaml", folder / "recipes" / "folder")  # as after its first run
    book = yaml.safe_load((ROOT / "params.yaml").read_text())
    book["prepare"]["toy"]["options"] = {"seed": 3, "train": 6, "val": 2, "min_size": 64, "max_size": 80}
    book["annotate"]["boxes"] = {"data": "toy", "split": "train", "kind": "boxes", "options": {"core": 0.0}}
    book["evaluate"]["boxes"] = {"data": "toy", "of": "supervision/boxes"}
    (folder / "params.yaml").write_text(yaml.safe_dump(book, sort_keys=False))
    say(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "remote", "add", "-d", "near", str(folder.parent / "remote"))
    found = []
    for core in (0.0, 1.0):
        book["annotate"]["boxes"]["options"]["core"] = core
        (folder / "params.yaml").write_text(yaml.safe_dump(book, sort_keys=False))
        dvc(folder, "repro", "evaluate@boxes")
        commit(folder, f"core {core}")
        found.append(metrics(folder)["coverage"])
    assert 0 < found[0] < found[1] == 100
    yield folder, found
    shutil.rmtree(folder)


def test_metrics_params_and_plots_of_another_commit(clone: tuple[Path, list[float]]) -> None:
    folder, (first, second) = clone
    found = json.loads(dvc(folder, "metrics", "diff", "HEAD~1", "--json"))[METRICS]["coverage"]
    assert (found["old"], found["new"]) == pytest.approx((first, second))
    assert json.loads(dvc(folder, "params", "diff", "HEAD~1", "--json")) == {
        "params.yaml": {CORE: {"old": 0.0, "new": 1.0, "diff": 1.0}}
    }
    shown = json.loads(dvc(folder, "metrics", "show", "--all-commits", "--json"))
    values = [found["data"][METRICS]["data"]["coverage"] for found in shown.values()]
    assert sorted(set(values)) == pytest.approx([first, second])
    page = Path(dvc(folder, "plots", "diff", "HEAD~1", "--out", "plots").strip().removeprefix("file://"))
    assert '"rev": "HEAD~1"' in page.read_text()


def test_an_experiment_shows_its_numbers_beside_its_commit(clone: tuple[Path, list[float]]) -> None:
    folder, (_, second) = clone
    dvc(folder, "exp", "run", "-n", "half", "-S", f"{CORE}=0.5", "evaluate@boxes")
    coverage = metrics(folder)["coverage"]
    shown = list(csv.DictReader(io.StringIO(dvc(folder, "exp", "show", "--csv"))))
    column = next(name for name in shown[0] if name.endswith(CORE))
    numbers = {row["Experiment"] or row["rev"]: (row["coverage"], row[column]) for row in shown}
    branch = say(folder, "git", "branch", "--show-current").strip()
    assert {name: tuple(map(float, found)) for name, found in numbers.items()} == {
        "workspace": pytest.approx((coverage, 0.5)),
        branch: pytest.approx((second, 1.0)),
        "half": pytest.approx((coverage, 0.5)),
    }
    say(folder, "git", "checkout", "-q", ".")
    dvc(folder, "checkout", "-q", "evaluate@boxes", "annotate@boxes")


def test_another_repository_fetches_the_result_of_any_commit(clone: tuple[Path, list[float]], tmp_path: Path) -> None:
    folder, coverages = clone
    dvc(folder, "push", "--all-commits")
    assert any((folder.parent / "remote").rglob("*.dir"))
    for revision, coverage in zip(("HEAD~1", "HEAD"), coverages, strict=True):
        dvc(tmp_path, "get", f"file://{folder}", METRICS, "--rev", revision, "--out", revision)
        assert json.loads((tmp_path / revision).read_text())["coverage"] == coverage
    listed = dvc(tmp_path, "list", f"file://{folder}", "recipes/folder")
    assert {"dvc.yaml", "params.yaml"} <= set(listed.split())


def test_what_no_commit_needs_can_be_found(clone: tuple[Path, list[float]]) -> None:
    folder, _ = clone
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "gc", "--all-commits", "--dry", "-f"],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Failed to collect" not in done.stderr


def test_runs_of_an_experiment_in_a_copy_are_recorded_in_the_project(clone: tuple[Path, list[float]]) -> None:
    """``dvc exp run --temp`` deletes the copy; an applied experiment finds its run by the hash of its output."""
    folder, _ = clone
    dvc(folder, "exp", "run", "--temp", "-n", "most", "-S", f"{CORE}=0.8", "evaluate@boxes", WEAK2MASK_TRACKING="on")
    query = "select name, artifact_uri, value from runs join tags using (run_uuid) where key = 'dvc.exp'"
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        recorded = store.execute(query).fetchall()
    assert {(name, experiment) for name, _, experiment in recorded} == {
        ("annotate@boxes", "most"),
        ("evaluate@boxes", "most"),
    }
    assert all(place.startswith(f"file://{folder}/mlruns/toy/") for _, place, _ in recorded)
    assert not list(folder.glob(".dvc/tmp/exps/*/mlflow.db"))
    coverage = metrics(folder)["coverage"]
    # DVC applies it all, then says (exit code 255) that it has no output of the stages that never ran
    apply = [sys.executable, "-m", "dvc", "exp", "apply", "most"]
    subprocess.run(apply, cwd=folder, env=ENVIRONMENT, capture_output=True, check=False, timeout=500)
    assert 0 < metrics(folder)["coverage"] < coverage == 100
    listed = json.loads(say(folder, sys.executable, "-m", "pipeline", "runs", "--json", WEAK2MASK_TRACKING="on"))
    assert {found["stage"] for found in listed if found["run_id"]} >= {"annotate@boxes", "evaluate@boxes"}
