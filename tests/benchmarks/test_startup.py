"""What starting costs: the floors are those of the parts, and the page has every row."""

from __future__ import annotations

from pathlib import Path

from benchmarks.startup import cases, summary
from docs.tools.benchmarks import starting_text


def test_a_floor_is_the_best_of_the_parts() -> None:
    known = cases(Path("images"), Path("masks"), Path("small"))
    chosen = {name: known[name] for name in ("import torch", "import mlflow", "stage", "dvc repro")}
    seconds = {"import torch": [3.0, 2.0], "import mlflow": [1.5, 1.6], "stage": [4.0, 1.9], "dvc repro": [2.6]}
    rows = summary(chosen, seconds)
    assert rows["stage"] | {"floor_of": []} == {
        "target": 2.0, "best": 1.9, "median": 2.95, "worst": 4.0, "met": True, "floor": 3.5, "floor_of": []
    }  # fmt: skip
    assert rows["import torch"]["floor"] is None
    assert rows["dvc repro"]["floor"] is None  # its parts were not asked for
    assert not rows["dvc repro"]["met"]
    text = starting_text({"rounds": 2, "cores": 2, "python": "3.11", "cpu_seconds": rows})
    assert "| `stage` | 1.90 | 2.95 | 2.0 | 3.50 (import torch, import mlflow) |" in text
    assert "| `import torch` | 2.00 | 2.50 |  |  |" in text


def test_a_case_contains_cases_that_come_before_it() -> None:
    known = cases(Path("images"), Path("masks"), Path("small"))
    names = list(known)
    assert all(part in names[: names.index(name)] for name, case in known.items() for part in case.floor)
    assert not [name for name in names if "," in name]  # --only separates names by commas
