"""A book's copy of dvc.yaml: the project's, or refused with what refreshes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from models.errors import ConfigurationError
from pipeline.book.graph_file import check_graph_file, write_first_graph, write_graph
from pipeline.commands import jobs, results, services, stages, use, write_books  # noqa: F401 (importing adds the commands)
from pipeline.commands.app import app

ROOT = Path(__file__).parents[3]
BOOK = Path("recipes/mine")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose graph has two stages, and a book of its own with a copy."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / BOOK).mkdir(parents=True)
    for folder in (tmp_path, tmp_path / BOOK):
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / "dvc.yaml").write_text("# ours\nstages:\n  code: {cmd: a}\n  train: {cmd: b}\n")
    monkeypatch.chdir(tmp_path)


def graph(text: str) -> None:
    (BOOK / "dvc.yaml").write_text(text)


def test_a_copy_a_link_other_comments_and_stages_beside_are_fine() -> None:
    check_graph_file(BOOK)
    check_graph_file(Path())
    graph("# an older comment\nstages:\n  train: {cmd: b}\n  code: {cmd: a}\n")
    check_graph_file(BOOK)
    graph("stages: {code: {cmd: a}, train: {cmd: b}, mine: {cmd: c}}\nplots: [mine.csv]\n")
    check_graph_file(BOOK)
    (BOOK / "dvc.yaml").unlink()
    (BOOK / "dvc.yaml").symlink_to("../../dvc.yaml")
    check_graph_file(BOOK)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages:\n  code: {cmd: a}\n  train: {cmd: old}\n", r"differs in: train\."),
        ("stages:\n  code: {cmd: a}\n", r"differs in: train \(missing\)\."),
        ("../../dvc.yaml", "expected the stages of the project's dvc.yaml, found none"),  # a link, as Git may write it
        ("stages: [", "found none"),
        ("\x00\x81", "found none"),
        ("", "found none"),
    ],
)
def test_an_older_copy_is_refused_and_refreshed(text: str, message: str) -> None:
    graph(text)
    with pytest.raises(ConfigurationError, match=message) as refused:
        check_graph_file(BOOK)
    assert "python -m pipeline refresh recipes/mine" in str(refused.value)
    assert write_graph(BOOK)
    assert not write_graph(BOOK)
    check_graph_file(BOOK)


def test_no_file_yet_is_fine_and_a_link_to_nothing_is_not() -> None:
    assert not write_first_graph(BOOK)
    (BOOK / "dvc.yaml").unlink()
    check_graph_file(BOOK)
    assert not (BOOK / "dvc.yaml").exists()
    assert write_first_graph(BOOK)
    assert (BOOK / "dvc.yaml").read_bytes() == Path("dvc.yaml").read_bytes()
    (BOOK / "dvc.yaml").unlink()
    (BOOK / "dvc.yaml").symlink_to("../gone.yaml")
    with pytest.raises(ConfigurationError, match=r"found a link to \.\./gone\.yaml, where nothing is"):
        check_graph_file(BOOK)
    assert write_graph(BOOK)
    assert not (BOOK / "dvc.yaml").is_symlink()


def test_a_link_becomes_a_file_and_what_it_led_to_stays() -> None:
    before = Path("dvc.yaml").read_bytes()
    (BOOK / "dvc.yaml").unlink()
    (BOOK / "dvc.yaml").symlink_to("../../dvc.yaml")
    assert write_graph(BOOK)
    assert not (BOOK / "dvc.yaml").is_symlink()
    assert (BOOK / "dvc.yaml").read_bytes() == Path("dvc.yaml").read_bytes() == before


def test_stages_of_the_users_own_are_not_overwritten() -> None:
    text = yaml.safe_dump({"stages": {"code": {"cmd": "old"}, "mine": {"cmd": "c"}}, "plots": ["mine.csv"]})
    graph(text)
    with pytest.raises(ConfigurationError, match="stage mine, section plots"):
        write_graph(BOOK)
    assert (BOOK / "dvc.yaml").read_text() == text


def test_refresh_finds_every_book_that_was_run_and_names_the_closest() -> None:
    run = CliRunner().invoke
    never = Path("recipes/never")
    shutil.copytree(BOOK, never, ignore=shutil.ignore_patterns("dvc.yaml"))
    assert run(app, ["refresh"]).output == "Nothing to do, books: 1.\n"
    graph("stages: {}")
    assert run(app, ["refresh"]).output == "Written: recipes/mine/dvc.yaml\n"
    assert run(app, ["refresh", "recipes/never"]).output == "Written: recipes/never/dvc.yaml\n"
    refused = run(app, ["refresh", "recipes/mien"]).exception
    assert isinstance(refused, ConfigurationError)
    assert "Did you mean 'recipes/mine'?" in str(refused)


@pytest.mark.parametrize("command", ["check", "run", "code", "flow"])
def test_whatever_asks_dvc_refuses_an_older_copy(command: str) -> None:
    text = Path("params.yaml").read_text().replace("  root: .\n  path: .\n  params: params.yaml\n  work: work/toy\n",
        "  root: ../..\n  path: recipes/mine\n  params: recipes/mine/params.yaml\n  work: work/mine\n")  # fmt: skip
    (BOOK / "params.yaml").write_text(text)
    graph("stages: {code: {cmd: old}}")
    refused = CliRunner().invoke(app, [command, "--book", "recipes/mine"]).exception
    assert isinstance(refused, ConfigurationError), refused
    assert "python -m pipeline refresh recipes/mine" in str(refused)
