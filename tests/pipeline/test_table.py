from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import DataError
from pipeline import runs as runs_module
from pipeline.table import Row, book_results, print_results, print_runs, read_rows, results_table

MASKS = {"kind": "masks", "of": "masks/s", "split": "val", "miou": 45.678, "pixel_accuracy": 88.0, "boundary_f": 30.04}
FULL = MASKS | {"of": "masks/full", "miou": 60.904}
CAMS = MASKS | {
    "kind": "cams",
    "of": "cams/cam",
    "split": "train",
    "best_threshold": 0.23,
    "miou_best": 45.678,
    "miou_fixed": 44.0,
    "fixed_threshold": 0.25,
}


def write(work: Path, name: str, content: Any) -> Path:
    path = work / "evaluations" / name / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def book(tmp_path: Path) -> Any:
    for name, metrics in {"full_val": FULL, "cam": CAMS, "val": MASKS}.items():
        write(tmp_path, name, metrics)
    settings = SimpleNamespace(work=str(tmp_path), path=str(tmp_path))
    evaluate = dict.fromkeys(("cam", "val", "later", "full_val"))
    return SimpleNamespace(book=settings, table=SimpleNamespace(title="A title", bound="full_val"), evaluate=evaluate)


def test_rows_are_in_the_order_of_the_book(book: Any) -> None:
    table = book_results(book)
    assert [row[0] for row in table.cells] == ["cam", "val", "full_val"]
    assert table.notes[-1] == "Not evaluated yet: later."


def test_cells(book: Any) -> None:
    table = book_results(book)
    columns = ("evaluation", "what", "split", "mIoU", "at", "boundary F", "pixel acc.", "at fixed", "% of full")
    assert table.columns == columns
    assert table.cells == (
        ("cam", "cams/cam", "train", "45.7", "best 0.23", "30.0", "88.0", "44.0 (0.25)", "-"),
        ("val", "masks/s", "val", "45.7", "-", "30.0", "88.0", "-", "75.0"),
        ("full_val", "masks/full", "val", "60.9", "-", "30.0", "88.0", "-", "100.0"),
    )


def test_columns_without_any_value_are_left_out() -> None:
    table = results_table([Row("val", MASKS)], bound="not_there")
    assert table.columns == ("evaluation", "what", "split", "mIoU", "boundary F", "pixel acc.")
    assert table.notes == ()


def test_a_bound_of_zero_divides_nothing() -> None:
    assert "% of full" not in results_table([Row("full", MASKS | {"miou": 0.0})], bound="full").columns


def test_markdown() -> None:
    assert results_table([Row("val", MASKS)]).markdown() == (
        "| evaluation | what | split | mIoU | boundary F | pixel acc. |\n"
        "| --- | --- | --- | ---: | ---: | ---: |\n"
        "| val | masks/s | val | 45.7 | 30.0 | 88.0 |\n"
    )


def test_nothing_is_folded_outside_a_terminal(book: Any, capsys: pytest.CaptureFixture[str]) -> None:
    print_results(book)
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("cam ")]
    assert line.split() == ["cam", "cams/cam", "train", "45.7", "best", "0.23", "30.0", "88.0", "44.0", "(0.25)", "-"]
    assert "A title" in printed


def test_an_empty_work_folder_prints_what_is_to_come(book: Any, tmp_path: Path) -> None:
    book.book.work = str(tmp_path / "none")
    assert book_results(book).cells == ()
    assert book_results(book).notes == ("Not evaluated yet: cam, val, later, full_val.",)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "expected JSON"), ({"of": "cams/x", "split": "val"}, "not there.*miou")]
)
def test_broken_metrics(tmp_path: Path, content: Any, message: str) -> None:
    path = write(tmp_path, "cam", content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(tmp_path, ["cam"])
    assert str(path) in str(caught.value)
    assert "evaluate" in str(caught.value)


def test_runs(book: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        runs_module.RecordedStage("train@cam", "work/toy/checkpoints/cam", "0123456789.dir", "f" * 32),
        runs_module.RecordedStage("code", "work/toy/code", "abcdefabcdef", None),
    ]
    runs = {Path(book.book.path) / "dvc.lock": found}
    monkeypatch.setattr(runs_module, "find_runs", runs.__getitem__)
    print_runs(book)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["train@cam", "work/toy/checkpoints/cam", "01234567", "f" * 32] in lines
    assert ["code", "work/toy/code", "abcdefab", "-"] in lines
