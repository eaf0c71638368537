"""CSV tables and lists: lines, quotes, delimiters, and files that are no tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import DataError
from pipeline.datasets.lines import read_lines
from pipeline.datasets.tables import read_table


def rows(path: Path, content: str | bytes) -> list[tuple[str, str, str]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [
        (row.where.rpartition(" line ")[2], row.cells["image"], row.cells["tags"])
        for row in read_table(path, ["image", "tags"])[1]
    ]


def refused(path: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as error:
        rows(path, content)
    assert len(str(error.value)) < 1000
    return str(error.value).removeprefix(f"{path}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("image,tags\na,b\n\nc,d\n", [("2", "a", "b"), ("4", "c", "d")]),
        ("image\ttags\na\tb\n", [("2", "a", "b")]),
        ("image;tags\na;b\n", [("2", "a", "b")]),
        ("\ufeffimage,tags\na,b\n", [("2", "a", "b")]),
        ("sep=;\r\nimage;tags\r\na;b\r\n", [("3", "a", "b")]),
        ("\n\nimage,tags\na,b", [("4", "a", "b")]),
        ("image,tags\ra,b\rc,d\r", [("2", "a", "b"), ("3", "c", "d")]),
        ('image,tags\r\na,"x\r\ny"\r\nb,c\r\n', [("2", "a", "x\r\ny"), ("4", "b", "c")]),
        ("image,tags\na\u2028b,c\x0bd\n", [("2", "a\u2028b", "c\x0bd")]),
        ('image,tags\n"a;1",b\n', [("2", "a;1", "b")]),
    ],
)
def test_tables_that_are_read(tmp_path: Path, content: str, expected: list[tuple[str, str, str]]) -> None:
    assert rows(tmp_path / "t.csv", content) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", " line 1: expected a header with image, tags, found an empty file."),
        (b"\xff\xfei\0m\0", ": expected a CSV file with columns image, tags, found UTF-16 text. Remedy: save the file"),
        (b"i\0m\0a\0", ": expected a CSV file with columns image, tags, found a binary file, or UTF-16 text."),
        (b"PK\x03\x04 xl/workbook", "found a ZIP archive or an Excel workbook. Remedy: unpack it, or save the sheet"),
        (b"\x89PNG\r\n", "found an image (PNG)."),
        ("image,tags\na,b\n\xe9".encode("latin-1"), " line 3: expected UTF-8 text, found other bytes."),
        ('{"images": [' + "1," * 60_000, " line 1: expected the header of a CSV (image, tags), found JSON"),
        ("<?xml version='1.0'?><annotations/>", "found CVAT's own XML. Remedy: export the task as 'PASCAL VOC 1.1'"),
        ("x" * 200_000, "xxx...' (200000 characters) without an end."),
        ("a," * 20_000, "found 'a,a,"),
        ("image,tags\na,b,c\n", " line 2: expected 2 cells (image, tags), found 3."),
        (f"image,tags{''.join(f',c{k}' for k in range(500))}\na\n", " line 2: expected 502 cells (image, tags, c0, c1"),
        (
            'image,tags\na,"' + "x" * 200_000,
            " line 2: expected cells of at most 131,072 characters, found one of 200,000. Remedy: close the quote",
        ),
        ("a.png,1,2,3\n", "This is a table without a header. Remedy: write the names of the columns"),
    ],
)
def test_what_is_no_table_is_named_in_a_short_message(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in refused(tmp_path / "t.csv", content)


def test_a_cell_of_an_export_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"image,tag\na,{'x' * 200_000}\n")
    _, (row,) = read_table(tmp_path / "t.csv", [], longest=None)
    assert len(row.cells["tag"]) == 200_000


def test_a_folder_or_nothing_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found a folder\. Remedy: name the file itself"):
        read_table(tmp_path, ["image"])
    with pytest.raises(DataError, match="found no such file"):
        read_table(tmp_path / "none" / "t.csv", ["image"])


def test_lists_count_lines_as_editors_do(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("a 1\r\nb\u2028c 2\rd 3\n\n\x0be 4".encode())
    lines = read_lines(tmp_path / "l.txt", " ")
    assert [(line.where.rpartition(" ")[2], line.key) for line in lines] == [
        ("1", "a"), ("2", "b\u2028c"), ("3", "d"), ("5", "e"),
    ]  # fmt: skip
    with pytest.raises(DataError, match="found a folder"):
        read_lines(tmp_path)
