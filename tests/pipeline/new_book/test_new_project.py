"""A folder that ``init`` makes a project: with Git, without, below a repository, and where it must not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from models.errors import ConfigurationError, DataError
from pipeline.book import graph_file
from pipeline.book.graph_file import GRAPH, PACKAGED, check_graph_file, project_graph, write_packaged
from pipeline.book.load import checked_book
from pipeline.compute.project import MARK, is_checkout, is_root, project_root
from pipeline.new_book.project import FILES, TEMPLATES
from pipeline.new_book.write import init

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the current one."""
    here = tmp_path / "user"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    return here


@pytest.fixture
def data(tmp_path: Path) -> Path:
    place = tmp_path / "farm"
    (place / "images").mkdir(parents=True)
    for k in range(8):
        Image.new("RGB", (60, 40)).save(place / "images" / f"{k}.png")
    (place / "tags.csv").write_text("image,tags\n" + "".join(f"{k}.png,{('cat', 'cow')[k % 2]}\n" for k in range(8)))
    return place


def tree(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_a_project_without_git(data: Path, folder: Path) -> None:
    done = init(data, weights="random")
    assert done.new_project == str(folder)
    assert (is_root(folder), is_checkout(folder)) == (True, False)
    assert tree(folder) == {".dvc", ".dvcignore", ".gitignore", "prefect.toml", MARK.name, "recipes", "data"}
    assert "no_scm = true" in Path(".dvc/config").read_text()
    assert "analytics = false" in Path(".dvc/config").read_text()
    book = checked_book(done.path, files=True)
    assert book.import_weights["start"].file == MARK.name
    stage = yaml.safe_load((Path(done.path) / "dvc.yaml").read_text())["stages"]["code"]
    assert stage["deps"] == [MARK.name, "${book.params}"]
    assert init(data, book="recipes/second", weights="random").new_project == ""


def test_dvc_reports_nothing_to_its_makers(data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even of its own start, which is before there is a configuration that forbids it."""
    monkeypatch.delenv("DVC_NO_ANALYTICS")
    started, run = {}, subprocess.run

    def watched(command: list[str], **options: Any) -> Any:
        started[command[-1] if command[0] == "git" else command[2]] = options.get("env", {})
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    init(data, weights="random")
    assert started["dvc"]["DVC_NO_ANALYTICS"] == "1"


@pytest.mark.parametrize("below", [False, True])
def test_a_project_in_a_git_repository(data: Path, folder: Path, below: bool) -> None:
    subprocess.run(["git", "init", "-q", str(folder.parent if below else folder)], check=True)
    init(data, weights="random")
    assert "no_scm" not in Path(".dvc/config").read_text()
    assert (folder / ".dvc" / ".gitignore").is_file()


def test_what_the_user_has_stays_and_what_fails_leaves_nothing(data: Path, folder: Path) -> None:
    Path(".gitignore").write_text("mine\n")
    (data / "tags.csv").write_text("image,tags\n")
    with pytest.raises(DataError):
        init(data, weights="random")
    assert tree(folder) == {".gitignore"}
    assert Path(".gitignore").read_text() == "mine\n"


def test_no_project_in_the_images_nor_below_a_project(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(data)
    for place in (data, data / "images"):
        monkeypatch.chdir(place)
        with pytest.raises(ConfigurationError, match="beside the images"):
            init(data, weights="random")
    assert tree(data) == before
    monkeypatch.chdir(folder)
    init(data, weights="random")
    monkeypatch.chdir(folder / "recipes")
    assert project_root() == folder
    with pytest.raises(ConfigurationError, match=rf"Run this there: cd {folder}\."):
        init(data, book="recipes/other", weights="random")


def test_another_version_of_the_package_makes_dvc_look_again(data: Path) -> None:
    path = init(data, weights="random").path
    current = MARK.read_text()
    assert set(json.loads(current)) == {"purpose", "version", "source"}
    MARK.write_text(current.replace('"source": "', '"source": "old'))
    checked_book(path)
    assert MARK.read_text() != current
    checked_book(path, files=True)
    assert MARK.read_text() == current


def test_a_book_with_another_graph_is_refused_there_too(data: Path) -> None:
    path = Path(init(data, weights="random").path)
    check_graph_file(path)
    (path / "dvc.yaml").write_text((path / "dvc.yaml").read_text().replace("pipeline train ", "pipeline train_more "))
    with pytest.raises(ConfigurationError, match=r"differs in: train\. Refresh it"):
        check_graph_file(path)


def test_the_packages_copies_are_the_projects_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PACKAGED.read_bytes() == (ROOT / GRAPH).read_bytes()
    for name in (".dvcignore", "prefect.toml"):
        assert (TEMPLATES / FILES[name]).read_bytes() == (ROOT / name).read_bytes()
    ignored = set((ROOT / ".gitignore").read_text().splitlines())
    assert set((TEMPLATES / FILES[".gitignore"]).read_text().splitlines()[1:]) <= ignored


def test_refresh_writes_the_packages_copy_of_an_edited_graph(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project_graph() is None
    assert not write_packaged()
    copy = folder / "pipeline" / "book" / "graph.yaml"
    copy.parent.mkdir(parents=True)
    copy.write_text("stages: {}\n")
    GRAPH.write_text("stages: {code: {cmd: a}}\n")
    monkeypatch.setattr(graph_file, "PACKAGED", copy)
    assert write_packaged()
    assert not write_packaged()
    assert copy.read_text() == project_graph() == "stages: {code: {cmd: a}}\n"
