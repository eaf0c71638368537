"""How long stages take: kept, shown again, summed up."""

from __future__ import annotations

import json
from multiprocessing import get_context
from pathlib import Path
from time import process_time

import pytest
import yaml

from pipeline.book.params import Book, load_book
from pipeline.running import times
from pipeline.running.times import announcement, duration, expected, measured

ROOT = Path(__file__).parents[3]
TARGETS = ["evaluate@cam"]
CHAIN = ("prepare@toy", "annotate@tags", "import_weights@random", "train@classifier", "export_cams@cam", "evaluate@cam")
"""What evaluate@cam stands on, and itself."""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The toy book, in a folder where nothing has run; no time is known but what a test writes."""
    monkeypatch.setattr(times, "KNOWN", tmp_path / "known.yaml")
    (tmp_path / "known.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return load_book(ROOT)


def test_what_a_stage_took_is_shown_next_time(book: Book) -> None:
    assert expected(book, "train@classifier", 2) is None
    with measured(book, "train@classifier"):
        sum(k * k for k in range(300_000))
    kept = json.loads(Path("work/toy/times/train@classifier.json").read_text())
    assert 0 <= kept["cpu_seconds"] <= 20
    Path("work/toy/times/train@classifier.json").write_text('{"seconds": 240, "cpu_seconds": 400}')
    assert str(expected(book, "train@classifier", 2)) == "about 4 min, as last time"
    assert expected(book, "train@segmenter", 2) is None


def burn() -> None:
    """Half a second of CPU time."""
    while process_time() < 0.5:
        pass


def test_workers_of_a_server_that_lives_on_count(book: Book) -> None:
    with measured(book, "train@classifier"):
        worker = get_context("forkserver").Process(target=burn)
        worker.start()
        worker.join()
    assert json.loads(Path("work/toy/times/train@classifier.json").read_text())["cpu_seconds"] >= 0.5


def test_a_stage_that_fails_keeps_the_time_before(book: Book) -> None:
    with measured(book, "train@classifier"):
        pass
    before = Path("work/toy/times/train@classifier.json").read_bytes()
    with pytest.raises(ValueError), measured(book, "train@classifier"):
        raise ValueError
    assert Path("work/toy/times/train@classifier.json").read_bytes() == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seconds": "long"}', '{"seconds": null}'])
def test_a_file_of_another_form_is_no_time(book: Book, text: str) -> None:
    Path("work/toy/times").mkdir(parents=True)
    Path("work/toy/times/train@classifier.json").write_text(text)
    assert expected(book, "train@classifier", 2) is None


def test_known_times_are_shared_out_among_the_cores_and_are_of_this_book_alone(book: Book) -> None:
    times.KNOWN.write_text("work/toy: {train@classifier: 100}")
    assert str(expected(book, "train@classifier", 1)) == "about 2 min, as measured, on 1 core without a GPU"
    assert str(expected(book, "train@classifier", 2)) == "about 50 s, as measured, on 2 cores without a GPU"
    mine = book.model_copy(update={"book": book.book.model_copy(update={"work": "work/mine"})})
    assert expected(mine, "train@classifier", 2) is None


def test_a_run_says_how_much_there_is(book: Book) -> None:
    assert announcement(book, TARGETS, 2).startswith("toy: 6 stages; those that are up to date are skipped. Each says")
    times.KNOWN.write_text(yaml.safe_dump({"work/toy": dict.fromkeys(CHAIN[:4], 60)}))
    assert "4 of them take about 2 min together" in announcement(book, TARGETS, 2)
    times.KNOWN.write_text(yaml.safe_dump({"work/toy": dict.fromkeys(CHAIN, 60)}))
    assert announcement(book, TARGETS, 2).endswith("All of them together take about 3 min.")
    assert announcement(book, ["code"], 2).startswith(f"toy: {len(list(book.entries()))} stages")


def test_every_stage_of_the_main_job_has_a_known_time() -> None:
    book = load_book(ROOT)
    assert "All of them together take about" in announcement(book, book.book.targets, 2)
    stages = {f"{verb}@{name}" for verb, name in book.entries()}
    assert set(yaml.safe_load((ROOT / "pipeline/running/known_times.yaml").read_text())["work/toy"]) <= stages


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (100, "2 min"), (5000, "83 min"), (9000, "2.5 h")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
