"""Files that the options of a data set name outside of its root: a change of one is seen."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.book.artifacts import VERBS
from pipeline.book.fingerprints import fingerprint, fingerprint_text, write_fingerprints
from pipeline.book.options import components
from pipeline.book.outside_files import FILE_OPTIONS, changed_outside, outside_lines
from pipeline.book.params import Book
from pipeline.book.signatures import options_model
from pipeline.datasets import READERS
from pipeline.results.tables.freshness import OTHER_CODE, OTHER_FILES, Record
from pipeline.tracking.log import dvc_md5
from tests.helpers import made_book
from tests.helpers.voc_folder import write_devkit
from tests.test_end_to_end import ENVIRONMENT, project, repro, weak2mask


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("list.txt", "labels.json", "map.txt", "data/inside.txt", "data/map.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


def book(reader: str = "voc", **options: Any) -> Book:
    return made_book.book(prepare={"made": {"reader": reader, "root": "data", "options": options}})


def line(name: str) -> str:
    return f"{name} {sha256(Path(name).read_bytes()).hexdigest()}"


@pytest.mark.parametrize(
    ("reader", "options", "named"),
    [
        ("voc", {"splits": {"train": "list.txt", "val": "val"}, "labels": "labels.json"}, ["list.txt", "labels.json"]),
        ("voc", {"splits": {"train": "data/inside.txt"}, "labels": "data/none.json"}, []),
        ("voc", {"labelmap": "map.txt"}, []),  # the one in the root counts
        ("voc", {"labelmap": "list.txt"}, ["list.txt"]),
        ("folder", {"labelmap": "voc"}, []),
        ("folder", {"labelmap": "labels.json"}, ["labels.json"]),
        ("coco", {"splits": {"train": "list.txt"}, "lists": {"train": "list.txt"}}, ["list.txt"]),
        ("coco", {"lists": {"train": "gone.txt"}}, []),
    ],
)
def test_files_outside_of_the_root(here: Path, reader: str, options: dict[str, Any], named: list[str]) -> None:
    made = book(reader, **options)
    assert outside_lines(made, "prepare", "made") == [line(name) for name in named]
    code = fingerprint("prepare", components(made, "prepare", "made"))
    assert fingerprint_text(made, "prepare", "made") == "\n".join([code, *map(line, named)]) + "\n"


def test_the_options_are_those_of_the_readers() -> None:
    for reader, options in FILE_OPTIONS.items():
        assert {*options} <= {*options_model(READERS[reader]).model_fields}


def test_a_change_is_seen(here: Path) -> None:
    assert not changed_outside(book(splits={"train": "train"}))
    made = book(splits={"train": "list.txt"})
    assert changed_outside(made)
    write_fingerprints(made, Path(made.book.work) / "code")
    assert not changed_outside(made)
    Path("list.txt").write_text("a\n")
    assert changed_outside(made)
    Path("list.txt").unlink()
    assert changed_outside(made)


def test_a_changed_file_is_no_other_code(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `keep` would keep what was made from another list."""
    made = book(splits={"train": "list.txt"})
    Path("params.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")))
    write_fingerprints(made, Path(made.book.work) / "code")
    code = Path(made.book.work) / "code" / "prepare" / "made"
    entry = {"prepare.made": made.prepare["made"].model_dump(mode="json")}
    stage = {"params": {"params.yaml": entry}, "deps": [{"path": code.as_posix(), "md5": dvc_md5(code)}]}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"prepare@made": stage}}))
    node = ("prepare", "made")
    assert Record(made).reasons(node) == ()
    with monkeypatch.context() as edit:
        edit.setattr("pipeline.book.fingerprints.fingerprint", lambda *_: "edited")
        assert Record(made).reasons(node) == (OTHER_CODE,)
    Path("list.txt").write_text("a\n")
    assert Record(made).reasons(node) == (OTHER_FILES,)
    write_fingerprints(made, Path(made.book.work) / "code")
    assert Record(made).reasons(node) == (OTHER_FILES,)


def ids(folder: Path) -> list[str]:
    listed: list[str] = json.loads((folder / "work/lists/catalogues/voc/catalogue.json").read_text())["splits"]["train"]
    return listed


@pytest.mark.slow
def test_a_run_after_an_edit_of_a_list(tmp_path: Path) -> None:
    options = {"splits": {"train": "list.txt"}}
    content: dict[str, Any] = {verb: {} for verb in VERBS}
    content |= {
        "book": {"root": ".", "path": ".", "params": "params.yaml", "work": "work/lists"},
        "prepare": {"voc": {"reader": "voc", "root": "data", "options": options}},
    }
    folder = project(tmp_path / "book", content)
    write_devkit(folder / "data")
    for text in ("a\n", "a\nb\n", "a\n"):  # the third is in DVC's run-cache
        (folder / "list.txt").write_text(text)
        done = weak2mask(folder, "run")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ids(folder) == text.split()
    assert repro(folder)[0] == set()
    status = [sys.executable, "-m", "dvc", "status"]
    said = subprocess.run(status, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    assert "up to date" in said
