"""The suite: both forms of every case have the same result, and what a record, a ratio and the command say."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import suite
from benchmarks.frame import Case, Repetition, Results, differences, repetition
from models.errors import ConfigurationError


@pytest.mark.parametrize("name", suite.cases())
def test_both_forms_have_the_same_result(name: str) -> None:
    case = suite.cases()[name]
    assert case.tolerance <= 0.1
    record = suite.measured(name, quick=True)
    assert record["difference"] <= case.tolerance
    assert record["size"] == case.quick
    assert record["ours"]["what"], "the docstring of the form says what it does"
    assert record["reference"]["what"], "the docstring of the form says from which formula"


def test_every_file_of_cases_is_in_the_suite() -> None:
    files = {path.stem for path in Path(suite.__file__).parent.glob("*.py") if "\nCASES" in path.read_text("utf-8")}
    assert files == set(suite.FILES)


def counted(number: int) -> Results:
    """Numbers from 0 on."""
    return {"whole": np.arange(number), "real": np.linspace(0, 2, number)}


def shifted(number: int) -> Results:
    """The same, with one of them off."""
    wrong = counted(number)
    wrong["real"][-1] += 0.02
    return wrong


def case(reference: object) -> Case:
    return Case("Counting", lambda number: number, counted, reference, {"number": 10}, {"number": 5}, 1e-3)  # type: ignore[arg-type]


def test_differences_are_shares_and_relative() -> None:
    ours = {"whole": np.array([1, 2, 3, 4]), "real": np.array([0.0, 4.1])}
    reference = {"whole": np.array([1, 2, 3, 5]), "real": np.array([0.0, 4.0])}
    assert differences(ours, reference) == pytest.approx({"whole": 0.25, "real": 0.025})
    assert differences({"x": np.array([np.nan])}, {"x": np.array([1.0])}) == {"x": float("inf")}
    with pytest.raises(ValueError, match="shape"):
        differences({"x": np.zeros(3)}, {"x": np.zeros(1)})
    with pytest.raises(ValueError, match="named"):
        differences({"x": np.zeros(1)}, {"y": np.zeros(1)})


def test_time_counts_work_and_waiting_apart() -> None:
    def wait(_: object) -> Results:
        time.sleep(0.2)
        return {}

    found = repetition(wait, None)
    assert found.wall >= 0.2
    assert found.cpu < 0.15


def test_a_ratio_is_of_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference / ours within a turn: a machine that is slow in one turn is slow for both forms."""
    turns = iter([(1.0, 4.0), (10.0, 30.0), (2.0, 4.0)])

    def run(name: str, form: str, quick: bool) -> Repetition:
        run.turn = next(turns) if form == "ours" else run.turn  # type: ignore[attr-defined]
        seconds = run.turn[form == "reference"]  # type: ignore[attr-defined]
        return Repetition(seconds, 2 * seconds, 10.0, {"x": np.ones(1)})

    monkeypatch.setattr(suite, "cases", lambda: {"a.b": Case("", int, counted, counted, {}, {}, 0, 3)})
    monkeypatch.setattr(suite, "_runner", lambda quick: nullcontext(run))
    record = suite.measured("a.b")
    assert record["ratio"]["cpu"] == {"median": 3.0, "lowest": 2.0, "highest": 4.0}
    assert record["ours"]["cpu"]["median"] == 2.0
    assert record["reference"]["wall"]["highest"] == 60.0
    assert record["ratio"]["memory"] == 1.0


def test_forms_that_disagree_keep_no_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "cases", lambda: {"good.one": case(counted), "bad.one": case(shifted)})
    assert command.main(["--quick", "--json", str(tmp_path / "all.json")]) == 1
    assert [record["case"] for record in json.loads((tmp_path / "all.json").read_text("utf-8"))] == ["good.one"]
    said = capsys.readouterr()
    assert "bad.one: expected results that differ by at most 0.001" in said.err
    assert "good.one" in said.out


def test_a_name_chooses_a_case_or_a_file() -> None:
    assert suite.chosen(["boxes"]) == ["boxes.thresholds", "boxes.levels"]
    assert suite.chosen(["boxes.levels", "walks.psa"]) == ["walks.psa", "boxes.levels"]
    assert suite.chosen([]) == list(suite.cases())
    with pytest.raises(ConfigurationError, match=r"'walk'.*walks"):
        suite.chosen(["walk"])
    assert command.main(["walk"]) == 2


def test_resume_leaves_out_what_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {"commit": "c", "machine": "m", "versions": {}, "uncommitted": False}
    monkeypatch.setattr(suite, "made", lambda: here)
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "measured", lambda name, quick: pytest.fail("measured again"))
    record = suite.measured("refine.sweep", quick=True) | {"size": dict(suite.cases()["refine.sweep"].size)}
    (tmp_path / "refine.sweep.json").write_text(json.dumps(record), encoding="utf-8")
    assert command.main(["refine.sweep", "--resume"]) == 0
    assert capsys.readouterr().out == "refine.sweep: kept\n"
    assert not suite.is_kept(record | {"made": here | {"commit": "another"}}, "refine.sweep")
    assert not suite.is_kept(record | {"made": here | {"uncommitted": True}}, "refine.sweep")
    assert not suite.is_kept(record | {"size": {"height": 1}}, "refine.sweep")
