"""The runner: what does not hold is counted, a run goes on where it stopped, and the page says what the records say."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import time
from pathlib import Path

import pytest

from docs.tools import reliability as page
from tests.reliability import frame, torture
from tests.reliability.__main__ import main
from tests.reliability.flatness import Held, require_flat
from tests.reliability.frame import Case, Counts, tried


def odd_numbers_fail(number: int) -> Counts:
    assert not os.listdir(), "the folder of a trial is empty"
    Path(f"{number}").touch()
    assert number % 2 == 0, f"{number} is odd"
    return {"even": 1}


def hold_fifty_megabytes(number: int) -> Counts:
    with mmap.mmap(-1, 50_000_000) as fresh:  # not from the heap, where a fork may have room left by its parent
        return {"pieces": sum(fresh.write(b"1" * 1_000_000) > 0 for _ in range(50))}


def hang(number: int) -> Counts:
    child = subprocess.Popen(["sleep", "600"])
    Path(os.environ["CHILD"]).write_text(str(child.pid))
    time.sleep(600)
    return {}


CASE = Case("Odd numbers fail", odd_numbers_fail, quick=2, long=5)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(torture, "cases", lambda: {"made.odd": CASE})
    return "made.odd"


def test_a_trial_holds_or_says_why() -> None:
    assert tried(CASE, 0).counts == {"even": 1}
    failed = tried(CASE, 1)
    assert not failed.counts
    assert "1 is odd" in failed.problem


def test_what_a_trial_needs_counts_without_what_its_parent_holds() -> None:
    held = bytes(range(256)) * 400_000
    del held  # what was given back is in the peak of this process, with which a fork begins
    held = bytes(range(256)) * 200_000
    assert tried(Case("", odd_numbers_fail, 1, 1, megabytes=len(held) / 1e6), 0).counts == {"even": 1}
    assert "MB at the peak, of 20 MB" in tried(Case("", hold_fifty_megabytes, 1, 1, megabytes=20), 0).problem


def test_a_hang_ends_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHILD", str(tmp_path / "child"))
    assert tried(Case("", hang, 1, 1, seconds=1), 0).problem == "no result within 1 s"
    pid = int((tmp_path / "child").read_text())
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_a_run_goes_on_where_it_stopped(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert torture.record_of(case, 1, results=tmp_path) == 0
    made = []
    monkeypatch.setattr(torture, "tried", lambda case, number: made.append(number) or tried(case, number))
    assert torture.record_of(case, results=tmp_path) == 1
    assert made == [1, 2, 3, 4]
    record = json.loads((tmp_path / "made.odd.json").read_text())
    assert (record["trials"], record["failed"], record["counts"]) == (5, 2, {"even": 3})
    assert [failure["trial"] for failure in record["failures"]] == [1, 3]
    assert "made.odd trial 1" in capsys.readouterr().out
    monkeypatch.setattr(torture, "source", lambda name: "changed")
    assert torture.record_of(case, 1, results=tmp_path) == 0
    assert json.loads((tmp_path / "made.odd.json").read_text())["trials"] == 1


def test_what_is_measured_is_in_the_record_and_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = [Held(100 + 0.5 * look, 7, 3, 0) for look in range(12)]
    with pytest.raises(AssertionError, match=r"megabytes: 101\.2 in the first half, 104\.2 in the second"):
        require_flat(growing, megabytes=2)
    soak = Case("Grows", lambda number: {"runs": 12, **require_flat(growing, megabytes=4)}, 1, 1)
    monkeypatch.setattr(torture, "cases", lambda: {"made.soak": soak})
    assert torture.record_of("made.soak", results=tmp_path) == 0
    text = page.text_of(page.read(tmp_path))
    assert "12 runs; MB more a look, of 12 looks: +0.500 (95%: +0.500 to +0.500)" in text
    assert "open files more a look, of 12 looks: +0.000 (95%: +0.000 to +0.000)" in text


def test_the_page_says_what_the_records_say(case: str, tmp_path: Path) -> None:
    torture.record_of(case, 2, results=tmp_path)
    text = page.text_of(page.read(tmp_path))
    assert "| `made.odd` | Odd numbers fail | 2 | 5 | 1 | 1 even |" in text
    assert "| `made.odd` | 1 | `AssertionError: 1 is odd" in text
    assert page.text_of([]).endswith(page.EMPTY)


def test_an_unknown_case_gets_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense.case"]) == 2
    assert "Unknown case 'nonsense.case'" in capsys.readouterr().err


def test_every_case_says_what_holds() -> None:
    for name, each in frame.cases().items():
        assert each.title, name
        assert each.quick <= each.long, name
