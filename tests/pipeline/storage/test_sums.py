"""Checksums of files: other bytes are refused, files without one are read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from models.errors import DataError
from pipeline.storage.sums import FILE, checked_bytes, read_sums, write_sums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a b.json").write_bytes(b"{}\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.json").write_bytes(b"[]\n")
    write_sums(tmp_path, ["deep/c.json", "a b.json"])
    return tmp_path


def test_the_form_is_that_of_sha256sum(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", FILE], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "a b.json: OK\ndeep/c.json: OK\n"
    assert list(read_sums(folder) or ()) == ["a b.json", "deep/c.json"]


def test_other_bytes_are_refused(folder: Path) -> None:
    assert checked_bytes(folder / "a b.json") == b"{}\n"
    (folder / "a b.json").write_bytes(b"{ }\n")
    with pytest.raises(DataError, match=r"a b\.json is damaged.* delete SHA256SUMS beside it"):
        checked_bytes(folder / "a b.json")


@pytest.mark.parametrize("text", [b"no checksum\n", b"\xff\n", b"0" * 64 + b"  a"])
def test_damaged_checksums_are_refused(folder: Path, text: bytes) -> None:
    (folder / FILE).write_bytes(text)
    with pytest.raises(DataError, match="SHA256SUMS is damaged"):
        checked_bytes(folder / "a b.json")


def test_a_file_that_is_not_named_is_refused(folder: Path) -> None:
    (folder / FILE).write_text((folder / FILE).read_text().replace("a b.json", "a c.json"))
    with pytest.raises(DataError, match="no checksum of it in SHA256SUMS"):
        checked_bytes(folder / "a b.json")


def test_a_folder_without_checksums_is_read(folder: Path) -> None:
    (folder / FILE).unlink()
    (folder / "a b.json").write_bytes(b"1")
    assert checked_bytes(folder / "a b.json") == b"1"
    assert read_sums(folder) is None
