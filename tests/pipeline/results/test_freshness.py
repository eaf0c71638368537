from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import DataError
from pipeline.book import fingerprints
from pipeline.book.params import Book, load_book
from pipeline.results.tables.freshness import Record
from tests.helpers.toy_results import toy_content, write_book, write_lock, write_results


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The toy book, finished."""
    monkeypatch.chdir(tmp_path)
    book = write_book(tmp_path, toy_content())
    write_results(book)
    write_lock(book, toy_content())
    return book


def changed(tmp_path: Path, change: Any) -> dict[str, tuple[str, ...]]:
    """Why each evaluation is out of date after ``change`` to the book's content."""
    content = toy_content()
    change(content)
    book = write_book(tmp_path, content)
    return {name: found for name in book.evaluate if (found := Record(book).changes(name))}


def test_nothing_has_changed(book: Book) -> None:
    assert [Record(book).changes(name) for name in book.evaluate] == [()] * 4


def test_a_setting_marks_what_stands_on_it_and_nothing_else(book: Book, tmp_path: Path) -> None:
    found = changed(tmp_path, lambda content: content["refine_cams"]["cam_crf"]["options"].update(alpha=2.0))
    reason = "refine_cams@cam_crf ran with other settings: options.alpha"
    assert found == {"pseudo_masks": (reason,), "segmenter_val": (reason,)}


def test_a_new_key_and_a_gone_one_count(book: Book, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["predict_masks"]["full"]["crf"] = {"preset": "irn"}
        del content["export_cams"]["cam"]["options"]["flip"]

    found = changed(tmp_path, change)
    assert found["full_val"] == ("predict_masks@full ran with other settings: crf.preset",)
    assert found["cam"] == ("export_cams@cam ran with other settings: options.flip",)


def test_titles_and_rows_of_the_table_do_not_count(book: Book, tmp_path: Path) -> None:
    assert changed(tmp_path, lambda content: content["table"].update(title="Another", recipes={})) == {}


def test_code_counts(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = {"refine_cams"}
    real = fingerprints.fingerprint
    monkeypatch.setattr(
        fingerprints, "fingerprint", lambda verb, named: "edited" if verb in edited else real(verb, named)
    )
    assert Record(book).changes("cam") == ()
    assert Record(book).changes("pseudo_masks") == ("refine_cams@cam_crf ran with other code",)


def test_an_input_that_was_made_again_counts(book: Book) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["export_cams@cam"]["outs"][0]["md5"] = "other.dir"
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert Record(book).changes("cam") == ("evaluate@cam ran on another cams/cam",)


def test_metrics_that_dvc_did_not_record_count(book: Book) -> None:
    write_results(book, {"cam": 99.0})
    (reason,) = Record(book).changes("cam")
    assert reason.startswith("work/toy/evaluations/cam/metrics.json is not the file that DVC recorded")


def test_without_a_record_everything_is_out_of_date(book: Book) -> None:
    Path("dvc.lock").unlink()
    assert Record(book).changes("cam")[0] == "prepare@toy has no record in dvc.lock"
    assert Record(book).book_as_run == book


def test_a_number_is_described_as_it_was_made(book: Book, tmp_path: Path) -> None:
    content = toy_content()
    content["predict_masks"]["full"] = content["predict_masks"]["full"] | {"crf": {"preset": "irn"}}
    now = write_book(tmp_path, content)
    assert Record(now).book_as_run.predict_masks["full"].crf is None
    content["predict_masks"]["full"]["crf"] = {"preset": "gone"}
    write_lock(now, content)
    assert Record(load_book()).book_as_run == now, "what no longer exists cannot be described"


def test_a_broken_lock_says_what_to_do(book: Book) -> None:
    Path("dvc.lock").write_text("stages: [}")
    with pytest.raises(DataError, match=r"dvc.lock: expected DVC's record.*Remedy"):
        Record(book)
