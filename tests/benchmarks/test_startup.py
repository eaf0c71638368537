"""What starting costs: the floors are those of the parts, and the page has every row."""

from __future__ import annotations

from pathlib import Path

from benchmarks.startup import ALL_OF_THEM, ONE_MORE, ONE_OF_THEM, cases, summary, with_one_more
from docs.tools.benchmarks import starting_text


def test_a_floor_is_the_best_of_the_parts() -> None:
    known = cases(Path("images"), Path("masks"), Path("small"), Path("many"))
    chosen = {name: known[name] for name in ("python loop", "import torch", "import mlflow", "stage", "dvc repro")}
    seconds = {"python loop": [0.4, 0.35], "import torch": [3.0, 2.0], "import mlflow": [1.5, 1.6]}
    seconds |= {"stage": [4.0, 1.9], "dvc repro": [2.6]}
    rows = summary(chosen, seconds)
    assert rows["stage"] | {"floor_of": []} == {
        "target": 2.0, "best": 1.9, "median": 2.95, "worst": 4.0, "loops": 5.43, "met": True, "floor": 3.5,
        "floor_of": [],
    }  # fmt: skip
    assert rows["import torch"]["floor"] is None
    assert rows["dvc repro"]["floor"] is None  # its parts were not asked for
    assert not rows["dvc repro"]["met"]
    text = starting_text({"rounds": 2, "cores": 2, "python": "3.11", "cpu_seconds": rows})
    assert "| `stage` | 1.90 | 2.95 | 5.4 | 2.0 | 3.50 (import torch, import mlflow) |" in text
    assert "| `import torch` | 2.00 | 2.50 | 5.7 |  |  |" in text


def test_a_target_counts_for_one_machine_and_the_loop_says_how_fast_this_one_is() -> None:
    known = cases(Path("images"), Path("masks"), Path("small"), Path("many"))
    chosen = {name: known[name] for name in ("python loop", "stage")}
    slow = summary(chosen, {"python loop": [1.05], "stage": [5.9]})["stage"]
    fast = summary(chosen, {"python loop": [0.175], "stage": [1.1]})["stage"]
    assert (slow["target"], slow["met"], fast["met"]) == (2.0, True, False)


def test_a_case_contains_cases_that_come_before_it() -> None:
    known = cases(Path("images"), Path("masks"), Path("small"), Path("many"))
    names = list(known)
    assert all(part in names[: names.index(name)] for name, case in known.items() for part in case.floor)
    assert not [name for name in names if "," in name]  # --only separates names by commas


def test_a_stage_more_is_a_tenth_of_ten() -> None:
    known = cases(Path("images"), Path("masks"), Path("small"), Path("many"))
    seconds = {"python loop": [0.35], ONE_OF_THEM: [6.0, 7.0], ALL_OF_THEM: [16.0, 15.0]}
    chosen = with_one_more({name: known[name] for name in seconds}, seconds)
    row = summary(chosen, seconds)[ONE_MORE]
    assert (row["best"], row["worst"], row["target"], row["met"]) == (0.8, 1.0, 2.0, True)
    assert ONE_MORE not in with_one_more({"stage": known["stage"]}, {"stage": [1.0]})
