"""DVC reads the book that runs, and of the others what that one needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigurationError
from pipeline.running.dvc_books import one_book, one_book_command, other_books
from pipeline.running.graph import read_graph
from tests.helpers.tiny_graph import ENVIRONMENT, dvc

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def book(project: Path, name: str, reads: list[str], work: str = "") -> Path:
    """A book of one stage, named like the book, which writes into the book's work folder."""
    work = work or f"work/{name}"
    folder = project if name == "main" else project / "recipes" / name
    folder.mkdir(parents=True, exist_ok=True)
    wdir = "." if name == "main" else "../.."
    (folder / "params.yaml").write_text(f"book:\n  root: {wdir}\n  work: {work}  # in the project\n")
    command = f"mkdir -p {work} && echo made > {work}/{name}.txt"
    stage = {"wdir": wdir, "cmd": command, "deps": reads, "outs": [f"{work}/{name}.txt"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {name: stage}}))
    return folder / "dvc.yaml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The book ``main`` reads what a stage of no book makes from the book ``below``, and nothing of ``apart``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source.txt").write_text("1\n")
    (tmp_path / "own").mkdir()
    own = {"wdir": "..", "cmd": "cat work/below/below.txt > own/made.txt", "deps": ["work/below/below.txt"]}
    (tmp_path / "own" / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"mine": own | {"outs": ["own/made.txt"]}}}))
    for name, reads in {"main": ["own/made.txt"], "below": ["source.txt"], "apart": ["source.txt"]}.items():
        book(tmp_path, name, reads)
    dvc(tmp_path, "init", "--no-scm", "-q")
    return tmp_path


def edges() -> set[tuple[str, str]]:
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph
        return {(stage.addressing, above.addressing) for stage in graph for above in [stage, *graph.successors(stage)]}


def test_a_book_is_left_out_that_nothing_leads_to(project: Path) -> None:
    everything = edges()
    with one_book(Path("dvc.yaml")):
        narrowed = edges()
    assert everything - narrowed == {("recipes/apart/dvc.yaml:apart", "recipes/apart/dvc.yaml:apart")}
    assert narrowed < everything
    assert edges() == everything
    assert list(read_graph()) == ["recipes/below/dvc.yaml:below", "own/dvc.yaml:mine", "main"]


def test_two_books_of_one_work_folder_are_still_seen_together(project: Path) -> None:
    (project / "recipes/apart").rename(project / "recipes/main")
    twin = book(project, "twin", ["source.txt"], "work/main")
    twin.write_text(twin.read_text().replace("twin.txt", "main.txt"))
    with pytest.raises(ConfigurationError, match=r"main\.txt"):
        read_graph()


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = one_book_command(Path("dvc.yaml"), *words)
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_repro_runs_the_book_and_what_it_needs(project: Path) -> None:
    (project / "recipes/apart/dvc.yaml").write_text("stages: 1\n")  # nothing to do with it
    done = run(project, "repro")
    assert done.returncode == 0, done.stderr
    assert (project / "work/main/main.txt").is_file()
    assert not (project / "work/apart").exists()
    assert "up to date" in run(project, "repro").stdout
    assert run(project, "repro", "no_such_stage").returncode == 255


def test_every_shipped_book_says_where_it_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    books: dict[str, Any] = {}
    for path in [ROOT / "params.yaml", *ROOT.glob("recipes/*/params.yaml")]:
        graph = (tmp_path / path.relative_to(ROOT)).with_name("dvc.yaml")
        graph.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, graph.parent)
        graph.touch()
        books[str(graph)] = yaml.safe_load(path.read_text())["book"]["work"]
    assert len(books) > 10
    here = str(tmp_path / "dvc.yaml")
    assert other_books(Path("dvc.yaml")) == {file: str(tmp_path / work) for file, work in books.items() if file != here}
    (tmp_path / "recipes/voc_mini/dvc.yaml").unlink()
    assert str(tmp_path / "recipes/voc_mini/dvc.yaml") not in other_books(Path("dvc.yaml")), "DVC does not read it"
    assert here in other_books(Path("recipes/voc_mini/dvc.yaml"))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("book: {root: ../.., work: work/apart}\n", True),
        ("book:\n  work: 'work/apart'\n", True),
        ("book: {root: ../..}\n# work: work/apart\n", False),
        ("book:\n  work: work/apart\nother:\n  work: work/more\n", False),
    ],
)
def test_a_book_is_read_unless_it_says_where_it_works(project: Path, text: str, known: bool) -> None:
    Path("recipes/apart/params.yaml").write_text(text)
    others = other_books(Path("dvc.yaml"))
    assert set(others.values()) == {str(project / "work/below"), *([str(project / "work/apart")] if known else [])}
