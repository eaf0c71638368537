"""The table of somebody else's results: a clone, ``dvc pull``, and the same bytes, with nothing trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

import pytest
import yaml

from pipeline.book.artifacts import artifact
from pipeline.book.fingerprints import write_fingerprints
from pipeline.book.params import Book
from tests.helpers.toy_results import ROOT, toy_content, write_book, write_results

pytestmark = pytest.mark.slow

ROOMS = ("pipeline", "stages", "models", "pyproject.toml", "dvc.yaml", ".dvcignore")
ENVIRONMENT = os.environ | {
    "WEAK2MASK_TRACKING": "off",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def output_of(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def finish(book: Book) -> None:
    """Put a file where each stage would have put its output."""
    write_results(book)
    for verb, name in book.entries():
        kinds = {
            "prepare": ("catalogues", "ground_truth"),
            "train": ("checkpoints",),
            "import_weights": ("checkpoints",),
        }
        kinds |= {"export_cams": ("cams",), "refine_cams": ("cams",), "predict_masks": ("masks",), "evaluate": ()}
        for kind in kinds.get(verb, ("supervision",)):
            folder = artifact(book.book.work, kind, name)
            folder.mkdir(parents=True)
            (folder / "made").write_text(f"{verb}@{name}")
    for name in book.train:
        (Path(book.book.work) / "histories").mkdir(exist_ok=True)
        (Path(book.book.work) / "histories" / f"{name}.csv").write_text(f"step,total\n0,{name}\n")
    for name in book.evaluate:
        for file in ("classes.csv", "confusion.csv", "images.csv", "sweep.csv"):
            (artifact(book.book.work, "evaluations", name) / file).write_text(f"{name}\n")
    write_fingerprints(book, Path(book.book.work) / "code")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished toy book in a git repository, its cache pushed to a remote that is a folder."""
    shelf = tmp_path_factory.mktemp("remote")
    folder = tmp_path_factory.mktemp("lab")
    for room in ROOMS:
        (folder / room).symlink_to(ROOT / room)
    output_of(folder, "git", "init", "-q")
    output_of(folder, "dvc", "init", "-q")
    output_of(folder, "dvc", "remote", "add", "-q", "-d", "shelf", shelf)
    with chdir(folder):
        finish(write_book(folder, toy_content()))
    (folder / ".gitignore").write_text("/work\n/report\n")
    output_of(folder, "dvc", "commit", "-q", "-f")
    output_of(folder, "dvc", "push", "-q")
    output_of(folder, "git", "add", "-A")
    output_of(folder, "git", "commit", "-qm", "Results")
    return folder


@pytest.mark.parametrize("whole", [True, False])
def test_a_pulled_cache_gives_the_same_table(published: Path, tmp_path: Path, whole: bool) -> None:
    clone = tmp_path / "clone"
    output_of(tmp_path, "git", "clone", "-q", published, clone)
    if whole:
        output_of(clone, "dvc", "pull", "-q")
    lock = (clone / "dvc.lock").read_bytes()
    made = {path: path.stat().st_mtime_ns for path in (clone / "work").rglob("*")}
    table = ("python", "-m", "pipeline", "table")
    printed = output_of(clone, *table, *(() if whole else ("--pull",)))
    assert "60.7" in printed
    assert "†" not in printed, "nothing is out of date"
    output_of(published, *table)
    for ending in ("md", "csv", "tex", "json"):
        file = f"report/toy/table.{ending}"
        assert (clone / file).read_bytes() == (published / file).read_bytes(), ending
    assert (clone / "dvc.lock").read_bytes() == lock
    if whole:
        assert {path: path.stat().st_mtime_ns for path in (clone / "work").rglob("*")} == made
        assert "up to date" in output_of(clone, "dvc", "status")
    else:
        assert {path.name for path in (clone / "work" / "toy").iterdir()} == {"evaluations"}


def test_json_is_all_that_is_printed(published: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "table", "--json"]
    done = subprocess.run(command, cwd=published, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["recipes"][0]["key"] == "plain"
    assert done.stdout.encode() == (published / "report/toy/table.json").read_bytes()


def test_a_pull_without_a_remote_says_what_to_do(published: Path, tmp_path: Path) -> None:
    output_of(tmp_path, "git", "clone", "-q", published, tmp_path / "clone")
    output_of(tmp_path / "clone", "dvc", "remote", "remove", "shelf")
    command = [sys.executable, "-m", "pipeline", "table", "--pull"]
    done = subprocess.run(command, cwd=tmp_path / "clone", env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Remedy: `dvc push` there" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_run_of_a_book_is_pulled_and_the_rest_stays_empty(published: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    output_of(tmp_path, "git", "clone", "-q", published, clone)
    lock = yaml.safe_load((clone / "dvc.lock").read_text())
    del lock["stages"]["evaluate@full_val"]
    (clone / "dvc.lock").write_text(yaml.safe_dump(lock))
    printed = output_of(clone, "python", "-m", "pipeline", "table", "--pull")
    assert "60.7" in printed
    assert "Not evaluated yet: full_val" in printed


def test_a_cache_is_enough(published: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    output_of(tmp_path, "git", "clone", "-q", published, clone)
    output_of(clone, "dvc", "remote", "remove", "shelf")
    output_of(clone, "dvc", "cache", "dir", "--local", published / ".dvc" / "cache")
    assert "60.7" in output_of(clone, "python", "-m", "pipeline", "table", "--pull")


@pytest.mark.parametrize("options", [(), ("--pull",)])
def test_a_book_that_nobody_ran_shows_what_was_published(
    published: Path, tmp_path: Path, options: Sequence[str]
) -> None:
    clone = tmp_path / "clone"
    output_of(tmp_path, "git", "clone", "-q", published, clone)
    (clone / "dvc.lock").unlink()
    printed = output_of(clone, "python", "-m", "pipeline", "table", *options)
    assert "48.3" in printed, "IRN's CAMs"
    assert "60.7" not in printed
    assert ("Nothing to pull" in printed) == bool(options)
    assert not (clone / "work").exists()
