"""Where in the text of a book its keys stand, and what is written there."""

from __future__ import annotations

import difflib
import re
import shutil
from pathlib import Path

import pytest
import yaml

from models.errors import ConfigurationError
from pipeline.book.check import check
from pipeline.book.check_inputs import missing_files
from pipeline.book.lines import located, with_line
from pipeline.book.params import load_book
from pipeline.book.yaml_text import line
from pipeline.new_book.repeat import repeat
from pipeline.new_book.text import BookText

ROOT = Path(__file__).parents[3]
BOOKS = [path.parent for path in (ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("[!x]*/params.yaml")))]
TEXT = """\
train:
  # a comment
  a: &a {data: toy, settings: {lr: 1}}
  b:
    <<: *a
    settings:
      lr: 2
      7: x
  c: {<<: [*a], seed: 1}
targets:
  - one
  - two
"""


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train", 1),
        ("train.a.settings.lr", 3),
        ("train.b", 4),
        ("train.b.settings.lr", 7),
        ("train.b.settings.7", 8),
        ("train.b.data", 3),
        ("train.c.settings.lr", 3),
        ("train.c.seed", 9),
        ("train.a.settings.missing", 3),
        ("targets.1", 12),
        ("targets.9", 10),
        ("none", None),
        ("", None),
    ],
)
def test_the_line_of_a_key(key: str, expected: int | None) -> None:
    assert line(yaml.compose(TEXT), key.split(".")) == expected


def test_problems_get_the_line_of_their_key(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    problems = ["  train.b.seed: wrong: very", "  and 3 more", "other"]
    assert located(file, problems) == located(None, problems) == problems
    file.write_text(TEXT)
    assert located(file, problems) == ["  line 4: train.b.seed: wrong: very", "  and 3 more", "other"]
    assert with_line(file, "targets.0") == f"{file.as_posix()} line 11"
    file.write_text("a: [")
    assert located(file, problems) == problems


def test_every_message_about_a_book_has_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text()
    Path("params.yaml").write_text(text)
    number = text.splitlines().index("    settings: {epochs: 30, lr: 0.02, channels_last: true}") + 1
    assert all(problem.startswith("  line ") for problem in missing_files(load_book()))

    Path("params.yaml").write_text(text.replace("lr: 0.02, channels_last", "lrr: 0.02, channels_last"))
    with pytest.raises(ConfigurationError, match=rf"\n  line {number}: train.classifier.settings.lrr: unknown key"):
        check(load_book())
    Path("params.yaml").write_text(text.replace("    settings: {epochs: 30", "    seed: x\n    settings: {epochs: 30"))
    with pytest.raises(ConfigurationError, match=rf"\n  line {number}: train.classifier.seed: .* found 'x'"):
        load_book()
    changed = load_book(ROOT).changed({"annotate": {}})
    with pytest.raises(ConfigurationError) as error:
        check(changed)
    assert " line " not in str(error.value), "no file says so"


@pytest.mark.parametrize("book", BOOKS, ids=lambda path: path.name)
def test_adding_to_a_book_changes_no_other_line(book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if book != ROOT:
        (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path)
    place = book.relative_to(ROOT)
    place.mkdir(exist_ok=True)
    shutil.copy(book / "params.yaml", place)
    loaded = load_book(place)
    able = [f"evaluate@{name}" for name, entry in loaded.evaluate.items() if not entry.of.startswith("supervision/")]
    able += [f"evaluate_boxes@{name}" for name in loaded.evaluate_boxes]
    before = (place / "params.yaml").read_text()
    done = repeat(place.as_posix(), able[:3], [97, 98])
    after = (place / "params.yaml").read_text()
    check(load_book(place))
    assert done.entries or not able
    plain, grown = (re.sub(r" &\w+| \{\}", "", text).splitlines() for text in (before, after))
    assert [one for one in difflib.ndiff(plain, grown) if one[0] in "-?"] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  b: 1\n\n# c\nd: 2\n", "a:\n  b: 1\n  new: 0\n\n# c\nd: 2\n"),
        ("a:\n    b: {c: 1,\n      d: 2}  # e\nf: 3", "a:\n    b: {c: 1,\n      d: 2}  # e\n    new: 0\nf: 3\n"),
        ("a: {}  # none\nd: 2\n", "a:  # none\n  new: 0\nd: 2\n"),
        ("x: &x\n  y: 1\na:\n  b: *x\nd: 2\n", "x: &x\n  y: 1\na:\n  b: *x\n  new: 0\nd: 2\n"),
        ("a:\n  b: |\n    text\n    more\nd: 2\n", "a:\n  b: |\n    text\n    more\n  new: 0\nd: 2\n"),
        ("a:\n  b:\n    - 1\n    - c: 2\n      d: 3\n", "a:\n  b:\n    - 1\n    - c: 2\n      d: 3\n  new: 0\n"),
        ("a: {b: 1}\n", "a: {b: 1}\n"),
        ("b: 1\n", "b: 1\n"),
    ],
)
def test_an_entry_goes_to_the_end_of_its_section(text: str, expected: str) -> None:
    book = BookText(text)
    book.insert(("a",), ["new: 0"])
    assert str(book) == expected


def test_anchors_are_taken_or_given() -> None:
    book = BookText("a:\n  b: &old {x: 1}\n  c: {x: 1}\n  d:  # e\n    x: 1\n  g: 3\nf:\n  c: {x: 2}\n")
    assert [book.anchor(("a", name)) for name in "bcdg"] == ["old", "c", "d", ""]
    assert [book.anchor(("a", "c")), book.anchor(("f", "c")), book.anchor(("a", "z"))] == ["c", "f_c", ""]
    expected = "a:\n  b: &old {x: 1}\n  c: &c {x: 1}\n  d: &d  # e\n    x: 1\n  g: 3\nf:\n  c: &f_c {x: 2}\n"
    assert str(book) == expected
