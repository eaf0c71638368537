"""Where the record of runs belongs: to the project, also from a subfolder or from DVC's copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.compute.project import lost_project, project_root
from pipeline.tracking import log as tracking


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return made(tmp_path / "project")


def made(folder: Path) -> Path:
    (folder / "pipeline").mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    return folder


def test_the_root_a_subfolder_and_no_project(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project / "recipes" / "mine"
    below.mkdir(parents=True)
    for folder in (project, below):
        monkeypatch.chdir(folder)
        assert project_root() == project
    assert tracking.store_path() == project / "mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert project_root() == tmp_path
    assert tracking.store_uri() == "sqlite:///mlflow.db"


@pytest.mark.parametrize("place", ["standalone/tmpa1", "tmpb2", "tmpb2/sub"])
def test_a_copy_records_in_the_project(project: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = made(project / ".dvc/tmp/exps" / place)
    monkeypatch.chdir(copy)
    assert project_root() == project  # by the path alone, as when a stage is run by hand
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.setenv("DVC_EXP_NAME", "one")
    assert project_root() == project
    assert lost_project() is None
    assert tracking.store_uri() == f"sqlite:///{project}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/my.db")
    assert tracking.store_path() == project / "runs/my.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/my.db")
    assert tracking.store_path() == Path("/elsewhere/my.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert (tracking.store_uri(), tracking.store_path()) == ("http://127.0.0.1:5000", None)


def test_a_project_that_is_another_or_in_the_workspace(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that is left over from elsewhere sends nobody's runs there."""
    monkeypatch.chdir(project)
    for stated in (project, made(tmp_path / "other")):
        monkeypatch.setenv("DVC_ROOT", str(stated))
        assert project_root() == project
    assert lost_project() is None


def test_a_project_that_has_gone_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DVC_ROOT", str(project.parent / "gone"))
    monkeypatch.setenv("DVC_EXP_NAME", "one")
    monkeypatch.delenv("WEAK2MASK_TRACKING", raising=False)
    monkeypatch.setattr(tracking, "open_channel", Silent)
    message = r"/gone, is not there: its run is recorded in sqlite:///mlflow\.db"
    with pytest.warns(UserWarning, match=message), tracking.run("train@a", "toy", {}):
        pass


class Silent:
    def send(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass
