"""No number is typed: tables of measured numbers in README and docs come from results/*.json, and are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from docs.tables import BLOCK, TYPED, fill, pages, read_results, recipes, typed_numbers

ROOT = Path(__file__).parent.parent
RESULTS = read_results(ROOT / "results")
MEASURED = RESULTS | {path.name: read_results(path) for path in (ROOT / "results").iterdir() if path.is_dir()}
PAGES = [page for page in pages(ROOT) if page.parent.name not in TYPED]

NUMBER: dict[str, Any] = {
    "metrics": {"of": "cams/cam", "miou": 61.06, "boundary_f": 11.2, "best_threshold": 0.56},
    "percent_of_full": None,
    "out_of_date": [],
    "provenance": {"list": "train", "stages": [{"stage": "train@a", "seconds": 90.0}, {"stage": "b", "seconds": None}]},
}
UNSCORED: dict[str, Any] = {"evaluations": {}, "boundary_f": None, "percent_of_full": None}
SMALL: dict[str, Any] = {
    "title": "Small",
    "data": "toy (toy)",
    "columns": {"cam": "CAM", "val": "prediction, no CRF"},
    "made": {
        "commits": ["0123456789"],
        "uncommitted": False,
        "machines": ["2 cores, no GPU"],
        "precisions": ["32-true"],
        "seeds": [0, 1],
        "dates": ["2026-11-28", "2026-11-29"],
    },
    "recipes": [
        UNSCORED | {"key": "plain", "label": "Plain", "miou": {"cam": 61.06}, "up_to_date": False},
        UNSCORED | {"key": "empty", "label": "Empty", "miou": {}, "up_to_date": True},
    ],
    "repeats": [],
    "evaluations": {"cam": NUMBER, "again": NUMBER},
    "localisations": {},
    "warnings": [],
}


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_those_of_the_results_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill(text, RESULTS, page.name) == text, "run: python docs/tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_decimal_number_of_a_table_is_typed(page: Path) -> None:
    """But in notes of one day, in pages of methods (published constants) and of reference (defaults)."""
    found = typed_numbers(page.read_text(encoding="utf-8"), MEASURED)
    assert not found, f"{page.name}: no file of results/ has {found}; write a block of docs/tables.py, or backticks"


def test_the_readme_is_short_and_shows_what_was_measured() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    blocks = BLOCK.findall(text)
    assert [block[1:3] for block in blocks] == [("toy", "evaluations"), ("all", "recipes")]
    assert all(block[3].count("\n|") > 2 for block in blocks)


def test_a_block_is_written_from_its_book() -> None:
    page = "before\n<!-- results: small recipes -->\nstale\n<!-- end -->\nafter 1.5"
    assert fill(page, {"small": SMALL}) == (
        "before\n<!-- results: small recipes -->\n\n"
        "| recipe | CAM | boundary F | % of full |\n| --- | ---: | ---: | ---: |\n| Plain† | 61.1 |  |  |\n\n"
        "<!-- end -->\nafter 1.5"
    )
    assert fill(fill(page, {"small": SMALL}), {"small": SMALL}) == fill(page, {"small": SMALL})
    said = fill("<!-- results: small made -->\n<!-- end -->", {"small": SMALL})
    assert "Measured 2026-11-28 to 2026-11-29; commit `01234567`; machine: 2 cores, no GPU; precision: 32-true;" in said
    assert "2 minutes one after the other, 1 of them of unknown time left out." in said


def test_seeds_without_a_label_are_shown_by_their_mean_alone() -> None:
    row = UNSCORED | {"miou": {"cam": 50.0}, "up_to_date": True}
    seeds = [row | {"key": f"new_{k}", "label": f"new_{k}", "evaluations": {"cam": f"new_{k}"}} for k in range(2)]
    named = row | {"key": "plain_0", "label": "Plain", "evaluations": {"cam": "plain_0"}}
    repeats = [{"evaluations": ["new_0", "new_1"]}, {"evaluations": ["plain_0"]}]
    content = {"recipes": [*seeds, named], "repeats": repeats, "columns": {"cam": "CAM"}}
    assert recipes(content).splitlines()[2:] == ["| Plain | 50.0 |  |  |"]


@pytest.mark.parametrize("marker", ["none recipes", "small nothing", "all evaluations"])
def test_a_block_that_nothing_can_fill_is_refused(marker: str) -> None:
    with pytest.raises(SystemExit, match="expected"):
        fill(f"<!-- results: {marker} -->\n<!-- end -->", {"small": SMALL})


def test_a_typed_number_is_seen() -> None:
    rows = ["| a | `0.5` | 61.1 | 61.06 | 90.0 |", "| b | 61.2 ± 0.4 |", "| 1.5 GB of 2.13.0 |", "61.9 in a sentence"]
    page = "\n".join([*rows, "```", "| 7.7 |", "```", ""])
    assert typed_numbers(page, {"small": SMALL}) == ["61.2", "0.4"]
