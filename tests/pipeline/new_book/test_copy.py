"""A book that begins as a copy of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigurationError
from pipeline.book.check import check
from pipeline.book.params import load_book
from pipeline.new_book.copy import copy_book
from pipeline.new_book.expanding import expand_book

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pipeline", "dvc.yaml", "params.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)


def test_a_copy_has_the_same_entries_and_a_place_of_its_own() -> None:
    folder = copy_book(".", "recipes/mine")
    first, copy = load_book("."), load_book(folder)
    assert not (folder / "dvc.yaml").is_symlink()
    assert (folder / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    place = ("../..", "recipes/mine", "recipes/mine/params.yaml", "work/mine")
    assert (copy.book.root, copy.book.path, copy.book.params, copy.book.work) == place
    assert (copy.train, copy.evaluate, copy.book.targets) == (first.train, first.evaluate, first.book.targets)
    again = copy_book("recipes/mine", "recipes/deeper/yours")
    assert load_book(again).book.root == "../../.."


def test_a_copy_of_a_plain_book_is_edited_in_its_book_yaml() -> None:
    folder = copy_book(".", "recipes/mine")
    places = (
        ("  root: .", "  root: ../.."),
        ("  path: .", "  path: recipes/mine"),
        ("params: ", "params: recipes/mine/"),
    )
    plain = Path("params.yaml").read_text()
    for old, new in (*places, ("work: work/toy", "work: work/mine")):
        assert plain.count(f"{old}") >= 1
        plain = plain.replace(old, new, 1)
    head = (
        "# This is the file to edit, a copy of params.yaml. After an edit,\n"
        "# `python -m pipeline expand --book recipes/mine` writes params.yaml from it, which is what runs.\n#\n"
    )
    assert (folder / "book.yaml").read_text() == head + plain
    assert expand_book("recipes/mine") == []
    (folder / "book.yaml").write_text((head + plain).replace("prepare:\n", "# run --book recipes/mine\nprepare:\n"))
    again = copy_book("recipes/mine", "recipes/yours").joinpath("book.yaml").read_text()
    assert "expand --book recipes/yours`" in again
    assert "# run --book recipes/yours\n" in again


def test_nothing_is_left_of_a_copy_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise ConfigurationError("expected another book")

    monkeypatch.setattr("pipeline.new_book.copy.expand_book", broken)
    with pytest.raises(ConfigurationError, match="expected another book"):
        copy_book(".", "recipes/mine")
    assert not Path("recipes/mine").exists()


@pytest.mark.parametrize(
    ("source", "book", "message"),
    [
        ("recipes/none", "recipes/mine", "No recipe book at"),
        (".", "recipes/My Book", r"recipes/my_book\), found 'recipes/My Book'"),
        (".", "../mine", "a folder in the project"),
        (".", "pipeline", "pipeline is there already"),
        (".", "recipes/busy", r"work/busy is in use"),
    ],
)
def test_a_place_that_is_taken_or_unfit(source: str, book: str, message: str) -> None:
    Path("work/busy").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=message):
        copy_book(source, book)
    assert not Path("recipes").exists()


def test_a_book_in_one_line() -> None:
    Path("one").mkdir()
    text = Path("params.yaml").read_text()
    block = text[text.index("book:\n") : text.index("\ntable:")]
    line = "book: {root: .., path: one, params: one/params.yaml, work: work/one}\n"
    Path("one/params.yaml").write_text(text.replace(block, line))
    copy_book("one", "two")
    assert line.replace("one", "two") in Path("two/book.yaml").read_text()
    check(load_book("two"))
