"""`python -m pipeline expand`, and what refuses a params.yaml that its book.yaml has left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.errors import ConfigurationError
from pipeline.__main__ import app
from pipeline.book.check_inputs import missing_files
from pipeline.book.lines import with_line
from pipeline.book.load import checked_book
from pipeline.book.params import load_book
from pipeline.new_book.copy import copy_book
from pipeline.new_book.expanding import SAME_ENTRIES, expand_book

ROOT = Path(__file__).parents[3]
PLACE = "recipes/mine"
TEXT = """\
# Mine.
book: {root: ../.., path: recipes/mine, params: recipes/mine/params.yaml, work: work/mine}
prepare:
  toy: {reader: toy, root: pyproject.toml}
annotate:
  tags: {data: toy, split: train, kind: tags}
import_weights:
  random: {architecture: random, file: pyproject.toml}
cams:
  each: {seed: [0, 1]}
  train:
    cam_<seed>: {data: toy, supervision: tags, method: classifier, init: random, seed: <seed>, settings: {epochs: 1}}
  export_cams:
    cam_<seed>: {data: toy, supervision: tags, checkpoint: cam_<seed>, judge: {mean: cam}}
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("pipeline", "dvc.yaml", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    place = Path(PLACE)
    place.mkdir(parents=True)
    (place / "book.yaml").write_text(TEXT)
    (place / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    return place


def said(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, "--book", PLACE])
    if isinstance(result.exception, ConfigurationError):
        assert result.exception.exit_code == code
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_writes_says_and_checks(book: Path) -> None:
    assert "out of date.\n  everything (new)\nRemedy: python -m pipeline expand --book recipes/mine" in said(
        "expand", "--check", code=1
    )
    assert not (book / "params.yaml").exists()
    assert said("expand") == "recipes/mine/params.yaml: written.\n  everything (new)\n"
    written = (book / "params.yaml").read_bytes()
    assert said("expand") == said("expand", "--check") == "recipes/mine/params.yaml: up to date.\n"
    assert "9 stages, every name" in said("check")
    (book / "book.yaml").write_text(TEXT.replace("[0, 1]", "[0, 2]"))
    assert "out of date" in said("expand", "--check", code=1)
    assert (book / "params.yaml").read_bytes() == written
    assert said("expand") == (
        "recipes/mine/params.yaml: written.\n  table.repeats.cam (changed)\n"
        "  train@cam_1 (removed)\n  train@cam_2 (new)\n  export_cams@cam_1 (removed)\n  export_cams@cam_2 (new)\n"
        "  evaluate@cam_1 (removed)\n  evaluate@cam_2 (new)\n"
    )
    assert load_book(book).table.repeats["cam"].of == ["cam_0", "cam_2"]


def test_a_comment_in_params_is_replaced(book: Path) -> None:
    expand_book(PLACE)
    before = (book / "params.yaml").read_text()
    (book / "params.yaml").write_text(f"{before}# mine\n")
    checked_book(PLACE)
    assert expand_book(PLACE) == [SAME_ENTRIES]
    assert (book / "params.yaml").read_text() == before


def test_what_does_not_hold_is_not_written_and_has_its_line(book: Path) -> None:
    expand_book(PLACE)
    before = (book / "params.yaml").read_bytes()
    (book / "book.yaml").write_text(TEXT.replace("init: random,", "init: random, lr: 3,"))
    number = TEXT.splitlines().index(next(line for line in TEXT.splitlines() if "init: random" in line)) + 1
    problem = rf"book\.yaml line {number}: train\.cam_0\.lr: unknown key 'lr'.*\(1 more from this line\)"
    with pytest.raises(ConfigurationError, match=rf"book\.yaml does not hold:\n  {problem}"):
        expand_book(PLACE)
    assert (book / "params.yaml").read_bytes() == before
    assert list(book.glob(".partial*")) == []
    (book / "book.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="expected UTF-8"):
        expand_book(PLACE)
    (book / "book.yaml").write_text(TEXT.replace("path: recipes/mine", "path: recipes/other"))
    with pytest.raises(ConfigurationError, match="Is it a copy"):
        expand_book(PLACE)


def test_what_is_stale_is_refused_but_for_stages_that_dvc_calls(book: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"says, found no such file\. Remedy: .* expand --book recipes/mine"):
        checked_book(PLACE)
    with pytest.raises(ConfigurationError, match=r"says, found no such file\. Remedy: .* expand --book recipes/mine"):
        load_book(PLACE)
    expand_book(PLACE)
    (book / "book.yaml").write_text(TEXT.replace("data: toy, supervision", "data: toy, dtype: uint8, supervision"))
    stale = r"it differs in: train@cam_0 \(changed\), .*Remedy: python -m pipeline expand --book recipes/mine"
    for verb in (["check"], ["run"], ["flow"], ["table"], ["repeat", "evaluate@cam_0"]):
        with pytest.raises(ConfigurationError, match=stale):
            raise ConfigurationError(said(*verb, code=2))
    with pytest.raises(ConfigurationError, match=stale):
        copy_book(PLACE, "recipes/yours")
    assert checked_book(PLACE, committed=True).names("cams") == ["cam_0", "cam_1"]
    said("code")
    assert len(list(Path("work/mine/code/train").iterdir())) == 2


def test_messages_name_the_line_that_one_edits(book: Path) -> None:
    (book / "book.yaml").write_text(
        TEXT.replace("root: pyproject.toml", "root: missing").replace("file: py", "file: x")
    )
    expand_book(PLACE)
    assert [line.split(":")[0] for line in missing_files(load_book(PLACE))] == [
        "  book.yaml line 4",
        "  book.yaml line 8",
    ]
    assert with_line(book / "params.yaml", "evaluate.cam_1.of") == "recipes/mine/book.yaml line 14"
    (book / "book.yaml").write_text(TEXT.replace("method: classifier", "method: clasifier"))
    expand_book(PLACE)
    with pytest.raises(ConfigurationError, match=r"\n  book.yaml line 12: train.cam_0.method: unknown method"):
        checked_book(PLACE)
    (book / "book.yaml").write_text("a: [")
    number = (book / "params.yaml").read_text().splitlines().index("train:") + 2
    assert with_line(book / "params.yaml", "train.cam_0") == f"recipes/mine/params.yaml line {number}"


def test_a_copy_has_the_book_that_one_edits(book: Path) -> None:
    expand_book(PLACE)
    copy = copy_book(PLACE, "recipes/yours")
    assert (copy / "book.yaml").read_text() == TEXT.replace("mine", "yours")
    assert checked_book(copy.as_posix()).train == load_book(PLACE).train
    assert expand_book(copy.as_posix()) == []


def test_a_plain_book_has_nothing_to_expand(book: Path) -> None:
    expand_book(PLACE)
    (book / "book.yaml").unlink()
    checked_book(PLACE)
    with pytest.raises(
        ConfigurationError, match=r"recipes/mine has no book\.yaml, so nothing .* edit its params\.yaml"
    ):
        expand_book(PLACE)
    with pytest.raises(ConfigurationError, match="No recipe book at"):
        expand_book("recipes/none")
