"""The command line and what it refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import pipeline.__main__ as command_line
from models.errors import ConfigurationError
from pipeline.params import load_book
from pipeline.repro import link, run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_link_is_made_and_replaced(project: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        link(Path("data/photos"), tmp_path / name)
        assert Path("data/photos").resolve() == tmp_path / name


@pytest.mark.parametrize("source", ["/tmp/weak2mask_elsewhere", "../elsewhere", "data/photos/inside", "file/below"])
def test_a_link_stays_in_the_project(project: Path, tmp_path: Path, source: str) -> None:
    (tmp_path / "photos").mkdir()
    (project / "file").touch()
    link(Path("data/photos"), tmp_path / "photos")
    with pytest.raises(ConfigurationError, match="a path in the project"):
        link(Path(source), tmp_path / "photos")
    assert list((tmp_path / "photos").iterdir()) == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.ENOTDIR])
def test_what_the_machine_refuses_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    def refused(**_: object) -> None:
        raise OSError(code, os.strerror(code), "work/toy")

    monkeypatch.setattr(command_line, "app", refused)
    with pytest.raises(SystemExit) as left:
        command_line.main()
    said = capsys.readouterr().err
    assert left.value.code == 1
    assert "work/toy" in said
    assert "Finished stages are kept" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("variable", ["WEAK2MASK_WORKERS", "WEAK2MASK_DEVICES", "WEAK2MASK_DEVICE"])
def test_a_run_looks_at_its_environment_first(project: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "many")
    with pytest.raises(ConfigurationError, match=variable):
        run(load_book(ROOT))
    assert list(project.iterdir()) == []
