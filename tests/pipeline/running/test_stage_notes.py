"""What a stage leaves to look at."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import Weak2MaskError
from pipeline.book.params import Book, load_book
from pipeline.results.tables.text import TextTable
from pipeline.running import stage_notes
from pipeline.running.graph import Stage
from pipeline.running.stage_notes import Notes, data_uri

ROOT = Path(__file__).parents[3]
EVALUATE = Stage("evaluate@cam", "dvc.yaml:evaluate@cam")
LOCK = """
schema: '2.0'
stages:
  evaluate@cam:
    outs:
    - {path: work/toy/evaluations/cam/metrics.json, md5: 0123}
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The toy book, of which nothing but one evaluation has been made."""
    loaded = load_book(ROOT)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.lock").write_text(LOCK)
    results = TextTable("", ("evaluation", "mIoU", "at"), (("cam†", "60.7", "-"), ("other", "1.0", "0.5")))
    monkeypatch.setattr("pipeline.results.tables.results.book_table", lambda of: results)
    return loaded


def test_an_evaluation_shows_its_own_row_without_empty_columns(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    note = Notes(book).of(EVALUATE)
    assert "| cam† | 60.7 |" in note
    assert "other" not in note
    assert "MLflow" not in note


def test_the_run_that_made_it_is_linked(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find(self, stage: str, outs: list[dict[str, str]]) -> stage_notes.RecordedStage:
            return stage_notes.RecordedStage(stage, outs[0]["path"], outs[0]["md5"], "abc", "http://host/#/runs/abc")

    monkeypatch.delenv("WEAK2MASK_TRACKING", raising=False)
    monkeypatch.setattr(stage_notes, "RunFinder", Finder)
    assert "[MLflow run abc](http://host/#/runs/abc)" in Notes(book).of(EVALUATE)


def test_without_mlflow_the_scores_are_still_shown(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise Weak2MaskError("MLflow does not answer")

    monkeypatch.delenv("WEAK2MASK_TRACKING", raising=False)
    monkeypatch.setattr(stage_notes, "RunFinder", away)
    note = Notes(book).of(EVALUATE)
    assert "MLflow does not answer" in note
    assert "60.7" in note


def test_a_picture_as_text_is_small() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 1200, 3), np.uint8)
    uri = data_uri(noise)
    assert uri.startswith("data:image/jpeg;base64,")
    shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert shown.size == (560, 420)
