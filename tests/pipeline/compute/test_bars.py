"""Bars for people, lines for programs."""

from __future__ import annotations

import pytest

from pipeline.compute import bars, runtime
from pipeline.compute.engines.job import Job


def test_progress_yields_everything_and_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(runtime.progress(range(3), 3, "counting")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_only_one_of_several_processes_shows_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (True, False):
        with runtime.steps_bar(3, 0, "train", shown) as bar:
            bar.update()
        assert bool(capsys.readouterr().err) == shown


def test_a_program_reads_how_far_a_loop_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(bars.CHANNEL, "lines")
    assert list(runtime.progress(range(4), 4, "counting")) == [0, 1, 2, 3]
    lines = capsys.readouterr().err.splitlines()
    read = [state for line in lines if (state := bars.read_progress(line))]
    assert len(read) == len([line for line in lines if line])  # nothing else is written
    assert (read[0].what, read[0].done, read[0].total) == ("counting", 0, 4)
    assert (read[-1].done, read[-1].percent) == (4, 100.0)


def test_a_bar_counts_what_the_items_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(bars.CHANNEL, "lines")
    job = Job(str, ["abc", "d"], "reading", images=len)
    assert list(job.bar(job.chunks, lambda chunk: chunk)) == ["abc", "d"]
    read = [state for line in capsys.readouterr().err.splitlines() if (state := bars.read_progress(line))]
    assert (read[-1].what, read[-1].done, read[-1].total) == ("reading", 4, 4)


def test_a_program_reads_a_training(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(bars.CHANNEL, "lines")
    with runtime.steps_bar(8, 4, "train cam") as bar:
        bar.set_postfix(loss="0.5", refresh=False)
        bar.update(2)
    last = [state for line in capsys.readouterr().err.splitlines() if (state := bars.read_progress(line))][-1]
    assert (last.what, last.done, last.percent, last.note) == ("train cam", 6, 75.0, "loss=0.5")
    assert str(last).startswith("train cam: 75 %, 0:0")


@pytest.mark.parametrize("line", ["epoch 3", "::progress {", '::progress {"other": 1}', "::progress []"])
def test_other_lines_are_no_progress(line: str) -> None:
    assert bars.read_progress(line) is None


def test_progress_without_an_end() -> None:
    assert str(bars.Progress("reading", 12, None)) == "reading: 12"
    assert str(bars.Progress("training", 1, 3, 3725.0)) == "training: 33 %, 1:02:05 left"
