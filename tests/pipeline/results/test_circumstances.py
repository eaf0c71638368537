"""What a table says beside its numbers: commit, machine, precision, seeds, days, seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.compute.machine import machine_kind
from pipeline.results.tables.circumstances import of_stages, together
from pipeline.results.tables.files import to_json
from pipeline.results.tables.paper import paper_table
from pipeline.tracking.runs import Circumstances, RecordedStage
from tests.helpers.toy_results import toy_content, write_book, write_lock, write_results

TRAINED = Circumstances("2026-11-28", 80.0, "c" * 40, False, "2 cores, no GPU", "bf16-mixed")
SCORED = Circumstances("2026-11-29", 3.5, "d" * 40, True, "2 cores, no GPU")


def recorded(stage: str, circumstances: Circumstances | None) -> dict[str, RecordedStage]:
    return {stage: RecordedStage(stage, "out", "0" * 32, "f" * 32, None, circumstances)}


RUNS = recorded("train@classifier", TRAINED) | recorded("evaluate@cam", SCORED)


def test_each_value_once_and_what_no_run_says_is_left_out() -> None:
    made = of_stages(["train@classifier", "evaluate@cam", "export_cams@cam"], RUNS, [1, 0, 1])
    assert made == {
        "commits": ["c" * 40, "d" * 40],
        "uncommitted": True,
        "machines": ["2 cores, no GPU"],
        "precisions": ["bf16-mixed"],
        "seeds": [0, 1],
        "dates": ["2026-11-28", "2026-11-29"],
    }
    nothing = of_stages(["export_cams@cam"], recorded("export_cams@cam", None), [])
    assert nothing["uncommitted"] is None
    assert nothing["commits"] == nothing["machines"] == nothing["dates"] == []
    assert together([made, nothing]) == made


def test_the_json_of_a_table_says_how_its_numbers_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEAK2MASK_TRACKING", "off")
    book = write_book(tmp_path, toy_content())
    write_results(book)
    write_lock(book, toy_content())
    content = json.loads(to_json(paper_table(book, RUNS)))
    assert content["made"]["commits"] == ["c" * 40, "d" * 40]
    assert content["made"]["seeds"] == [0]
    cam = content["evaluations"]["cam"]
    assert cam["percent_of_full"] is None
    assert cam["provenance"]["made"]["precisions"] == ["bf16-mixed"]
    assert cam["provenance"]["trained"][0]["precision"] == "32-true", "as the book asks, beside as it ran"
    seconds = {stage["stage"]: stage["seconds"] for stage in cam["provenance"]["stages"]}
    assert (seconds["train@classifier"], seconds["evaluate@cam"]) == (80.0, 3.5)
    assert seconds["export_cams@cam"] is None
    assert content["evaluations"]["full_val"]["percent_of_full"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ", 2 GPUs"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ", 1 GPU"),
        ({"CUDA_VISIBLE_DEVICES": ""}, ", no GPU"),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ", no GPU"),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, ", 1 GPU"),
        ({"WEAK2MASK_DEVICE": "cpu"}, ", no GPU"),
        ({"WEAK2MASK_DEVICE": "cpu:0"}, ", no GPU"),
    ],
)
def test_a_machine_by_its_cores_and_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("WEAK2MASK_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    for gpu in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / gpu).mkdir()
    assert machine_kind(tmp_path) == "3 cores" + expected
    assert machine_kind(tmp_path / "none") == "3 cores, no GPU"
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert machine_kind(tmp_path).startswith("1 core,")
