from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.errors import DataError
from pipeline.commands.jobs import check
from pipeline.problems.notices import FILE, Notice, first_of, read_notices, save_notices
from pipeline.results.report.page import write_report
from pipeline.results.tables.files import write_table
from pipeline.results.tables.paper import paper_table
from tests.helpers import made_book

ODD = Notice("odd", 3, "3 of 7 images are odd (t0, t1 and 1 more). Remedy: mend_them | <now>.")


def test_notices_come_back_and_nothing_is_written_for_faultless_data(tmp_path: Path) -> None:
    save_notices(tmp_path, [])
    assert list(tmp_path.iterdir()) == []
    assert read_notices(tmp_path) == ()
    save_notices(tmp_path, [ODD, ODD])
    assert read_notices(tmp_path) == (ODD, ODD)
    (tmp_path / FILE).write_text("[1")
    with pytest.raises(DataError, match=r"warnings.json: expected a list of warnings"):
        read_notices(tmp_path)


def test_first_names() -> None:
    assert first_of(["a"]) == "a"
    assert first_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.slow
def test_table_report_and_check_show_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    book = made_book.book()
    made_book.make(book)
    assert paper_table(book, runs={}).warnings == ()
    save_notices(Path("work/made/catalogues/made"), [ODD])
    table = paper_table(book, runs={})
    assert table.warnings == (f"Warning (prepare@made): {ODD.text}",)
    files = write_table(table)
    assert "prepare@made" in files["md"].read_text()
    assert json.loads(files["json"].read_text())["warnings"] == list(table.warnings)
    page = write_report(book).read_text()
    assert "1 warning about the data" in page
    assert "mend_them | &lt;now&gt;." in page
    monkeypatch.setattr("pipeline.commands.jobs.checked_book", lambda folder: book)
    check(".", False, False)
    assert f"Warnings of what has been made (1):\n  prepare@made: {ODD.text}" in capsys.readouterr().out
    check(".", False, True)
    assert json.loads(capsys.readouterr().out)["warnings"] == [
        {"stage": "prepare@made", "topic": "odd", "count": 3, "text": ODD.text}
    ]
