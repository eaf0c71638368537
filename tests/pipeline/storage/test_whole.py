"""Files and folders that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.storage.whole import swap_in, whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_at_the_end_and_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_text("old")
    with whole_file(target) as scratch:
        assert scratch.suffix == ".png"
        assert scratch.parent == tmp_path
        scratch.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_what_was_there(tmp_path: Path, folder: bool, error: type[BaseException]) -> None:
    target = tmp_path / "a"
    file = target / "b" if folder else target
    file.parent.mkdir(exist_ok=True)
    file.write_text("old")
    with pytest.raises(error):
        _fail(target, folder, error)
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a"]


def _fail(target: Path, folder: bool, error: type[BaseException]) -> None:
    with (whole_folder if folder else whole_file)(target) as scratch:
        (scratch / "b" if folder else scratch).write_text("torn")
        raise error


def test_a_file_that_nobody_wrote_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "a"):
        pass


def test_writers_of_a_shared_file_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.npz"
    with whole_file(target, shared=True) as mine:
        mine.write_text("mine")
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with whole_file(target, shared=True) as other:
            other.write_text("other")
        assert target.read_text() == "other"
    assert target.read_text() == "mine"
    assert names(tmp_path) == ["a.npz"]


def test_a_folder_is_replaced_whole_and_leftovers_go(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a"
    for left in (target, target.with_name(".partial.a"), target.with_name(".old.a")):
        left.mkdir(parents=True)
        (left / "left").touch()
    with whole_folder(target) as scratch:
        assert names(scratch) == []
        (scratch / "new").touch()
        assert names(target) == ["left"]
    assert names(target) == ["new"]
    assert names(target.parent) == ["a"]


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kept").touch()
    (tmp_path / "a").symlink_to("cache")
    with whole_folder(tmp_path / "a") as scratch:
        (scratch / "new").touch()
    assert names(tmp_path) == ["a", "cache"]
    assert names(tmp_path / "cache") == ["kept"]
    assert names(tmp_path / "a") == ["new"]


def test_a_swap_that_fails_gives_back_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        swap_in(tmp_path / "missing", tmp_path / "a")
    assert names(tmp_path) == ["a"]
