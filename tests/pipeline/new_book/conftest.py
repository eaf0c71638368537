"""What the tests of new books share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project without a book, on a CPU; the test runs in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pipeline", "dvc.yaml", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    return folder
