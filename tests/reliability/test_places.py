"""Two books, or two commands, that would write to one place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

from models.errors import ConfigurationError, TransientError
from pipeline.book.load import checked_book
from pipeline.commands.stages import _stage
from pipeline.compute.alone import alone, first_of_group
from pipeline.compute.scratch import SCRATCH
from tests.test_end_to_end import small_book


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root book, and recipes/mine with a work folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    content = small_book()
    content["prepare"]["toy"]["root"] = "params.yaml"
    Path("params.yaml").write_text(yaml.safe_dump(content))
    _write(content, "recipes/mine", "work/mine")


def _write(content: object, folder: str, work: str) -> None:
    Path(folder).mkdir(parents=True)
    book = {"root": ".", "path": folder, "params": f"{folder}/params.yaml", "work": work, "targets": []}
    Path(folder, "params.yaml").write_text(yaml.safe_dump({**content, "book": book}))  # type: ignore[dict-item]


def test_books_with_a_folder_each_are_taken() -> None:
    assert checked_book(".").name == "toy"
    assert checked_book("recipes/mine").name == "mine"


@pytest.mark.parametrize("work", ["work/toy", "./work/toy/", "link/toy"])
def test_two_books_with_one_work_folder_are_refused(work: str) -> None:
    Path("work").mkdir()
    Path("link").symlink_to("work")
    _write(small_book(), "recipes/other", work)
    for folder, names in (
        (".", r"params\.yaml and recipes/other/params\.yaml"),
        ("recipes/other", "params.yaml and params"),
    ):
        with pytest.raises(ConfigurationError, match=rf"{names}.* have the same folder .*`work:`"):
            checked_book(folder)
    assert checked_book("recipes/mine").name == "mine"
    checked_book(".", committed=True)  # what a stage of `dvc repro` asks; DVC itself refuses two such graphs


def test_books_beside_this_one_count_and_what_is_no_book_does_not() -> None:
    _write(small_book(), "elsewhere/a", "work/x")
    checked_book("elsewhere/a")
    _write(small_book(), "elsewhere/b", "work/x")
    with pytest.raises(ConfigurationError, match=r"elsewhere/a/params\.yaml and elsewhere/b/params\.yaml"):
        checked_book("elsewhere/a")
    for text in ("work/x: [", "work/x", "book: work/x", "book: {work: [x]}"):
        Path("elsewhere/b/params.yaml").write_text(text)
        checked_book("elsewhere/a")
    shutil.rmtree("elsewhere/b")
    Path("elsewhere/b/params.yaml").mkdir(parents=True)
    checked_book("elsewhere/a")


def test_a_stage_that_is_being_made_is_not_made_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone.__wrapped__, "__defaults__", (0.0,))
    lock = SCRATCH / "stages" / "work.toy.prepare@toy.lock"
    with alone(lock, "prepare@toy"), pytest.raises(TransientError) as refused:
        _stage("prepare", "toy", ".")
    assert f"prepare@toy: expected to be alone with it, found process {os.getpid()} at it." in str(refused.value)
    assert not Path("work").exists()
    with alone(lock, "prepare@toy"):
        pass


def test_the_processes_of_one_training_do_not_keep_each_other_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_of_group()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not first_of_group()
