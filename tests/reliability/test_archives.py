"""ZIP archives from outside, which ``init`` unpacks: files in one folder, or an error of ours and nothing elsewhere."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from models.errors import DataError
from pipeline.new_book.archive import unpack_archive

LINK = stat.S_IFLNK << 16


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "PNG")
    return file.getvalue()


def archive(path: Path, *names: str, mode: int = 0, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name in ("images/a.png", *names):
            member = zipfile.ZipInfo("name")
            member.filename, member.compress_type = name, method
            member.external_attr = mode if name in names else 0
            made.writestr(member, picture())
    return path


@pytest.mark.parametrize(
    "name",
    ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "..\\evil.png", "C:evil.png", "", ".", "images/a.png/b.png",
     "images", "x" * 300 + ".png", "a\x01.png", "a\u202eb.png", "a\n.png"],
)  # fmt: skip
def test_a_name_that_is_no_file_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    before = set(os.listdir("/tmp"))
    with pytest.raises(DataError):
        unpack_archive(archive(tmp_path / "x.zip", name), tmp_path / "in" / "data", [])
    assert sorted(path.name for path in tmp_path.iterdir()) in (["in", "x.zip"], ["x.zip"])
    assert sorted(path.name for path in (tmp_path / "in").rglob("evil*")) == []
    assert not [one for one in set(os.listdir("/tmp")) - before if "evil" in one]


def test_a_link_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected files within one folder"):
        unpack_archive(archive(tmp_path / "x.zip", "images/link.png", mode=LINK), tmp_path / "data", [])


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED])
@pytest.mark.parametrize("place", range(30, 100, 7))
def test_damage_is_an_error_of_ours(tmp_path: Path, method: int, place: int) -> None:
    whole = bytearray(archive(tmp_path / "x.zip", method=method).read_bytes())
    whole[place : place + 4] = b"\xff\x00\xff\x00"
    (tmp_path / "x.zip").write_bytes(whole)
    try:
        unpack_archive(tmp_path / "x.zip", tmp_path / "data", [])
    except DataError:
        assert not (tmp_path / "images").exists()
    else:
        (found,) = (tmp_path / "data").rglob("*.png")
        assert found.read_bytes() == picture()
