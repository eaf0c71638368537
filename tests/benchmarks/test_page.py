"""The page of benchmarks is written from the records, and says nothing that they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import suite
from benchmarks.__main__ import FOLDER
from docs.tools import benchmarks as page


def record(name: str, cpu: float = 2.0, memory: float | None = 3.0) -> dict[str, Any]:
    """A record of a case whose reference takes ``cpu`` times as long as the second that ours takes."""

    def spread(median: float) -> dict[str, float]:
        return {"median": median, "lowest": median / 2, "highest": 2 * median}

    return {
        "case": name,
        "title": f"Title of {name}",
        "size": {"side": 8, "images": 2},
        "repetitions": 3,
        "difference": 2e-5,
        "ratio": {"cpu": spread(cpu), "wall": spread(cpu), "memory": memory},
        "ours": {"what": "Ours |x|.", "cpu": spread(1.0)},
        "reference": {"what": "By the formula.", "cpu": spread(cpu)},
        "made": {
            "date": "2026-11-29",
            "commit": "0123456789",
            "uncommitted": False,
            "machine": "2 cores, no GPU",
            "threads": 1,
            "versions": {"torch": "2.13.0"},
        },
    }


def test_a_record_becomes_a_row_of_each_table() -> None:
    text = page.text_of([record("walks.irn", cpu=120.04), record("loader.plain", cpu=1.25, memory=None)])
    assert (
        "| `walks.irn` | Title of walks.irn | 120.0 | 60.0 to 240.1 | 120.0 | 3.00 | 120.040 | 1.000 | `2e-05` |"
    ) in text
    assert "| Title of loader.plain | 1.25 | 0.62 to 2.50 | 1.25 |  | 1.250 | 1.000 | `2e-05` |" in text
    assert "| `walks.irn` | side 8, images 2; 3 turns | Ours \\|x\\|. | By the formula. |" in text
    assert "- 2026-11-29, commit `01234567`, 2 cores, no GPU, 1 thread a form, torch `2.13.0`: all cases." in text


def test_cases_of_several_places_are_named() -> None:
    later = record("loader.plain") | {"made": record("x")["made"] | {"date": "2026-11-30", "uncommitted": True}}
    text = page.text_of([record("walks.irn"), later])
    assert "no GPU, 1 thread a form, torch `2.13.0`: `walks.irn`." in text
    assert "2026-11-30, commit `01234567` with uncommitted changes" in text


def test_without_records_the_page_says_so(tmp_path: Path) -> None:
    assert page.text_of(page.read(tmp_path / "none")).endswith("No case has been measured yet.\n")


def test_records_that_are_kept_are_of_cases_that_exist() -> None:
    for path in FOLDER.glob("*.json"):
        kept = json.loads(path.read_text(encoding="utf-8"))
        assert kept["case"] == path.stem
        assert path.stem in suite.cases(), f"{path.name}: no such case; remove the file"
        assert not kept["quick"]
        assert kept["difference"] <= kept["tolerance"]
