"""Every book.yaml that is shipped: params.yaml is its expansion, and says what it said when it was written by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.book.agreement import expansion_of
from pipeline.book.artifacts import SECTIONS
from pipeline.new_book.expanding import expand_book

ROOT = Path(__file__).parents[3]
BOOKS = sorted(file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("recipes/*/book.yaml"))
BEFORE: dict[str, dict[str, Any]] = json.loads(
    gzip.decompress((ROOT / "tests/golden/books_before.json.gz").read_bytes())
)
"""BOOK: content of its params.yaml when that was written by hand (tests/golden/README.md)."""

SEEDED = {
    "recipes/voc_mini_cams": "amn_0 classifier_0 classifier_0_segmenter classifier_hfpl_0 classifier_hfpl_0_segmenter "
    "ppc_0 ppc_0_segmenter ppc_hfpl_0 ppc_hfpl_0_segmenter recam_0 seam_0 seam_0_segmenter seam_hfpl_0 "
    "seam_hfpl_0_segmenter",
    "recipes/voc_mini_rcm": "longer_0 longer_0_segmenter rcm_0 rcm_0_segmenter rcm_longer_0 rcm_longer_0_segmenter "
    "rcm_mam_0 rcm_mam_0_segmenter vanilla_0 vanilla_0_segmenter",
    "recipes/voc_mini_rtc": "base_0 com_0 crr_0 ctr_0 rtc_0 second_0",
    "recipes/voc_mini_spml": "full_0 points_0 points_0_annotation points_0_felzenszwalb points_0_head "
    "points_0_no_co_occurrence points_0_no_similarity points_0_segmenter points_0_slic points_0_walk_head "
    "points_0_whole points_0_with_affinity tags_0_near tags_0_near_head",
}
"""Trainings that say `seed: 0` now, the default, which they left out before."""

BASES = ("classifier", "classifier_hfpl", "ppc", "ppc_hfpl", "seam", "seam_hfpl")
VARIANTS = ("longer", "rcm", "rcm_longer", "rcm_mam", "vanilla")
CHANGED_SINCE: dict[str, set[str]] = {  # segmenters learn by AdamW, voc_mini computes in bfloat16
    "recipes/voc_mini": {
        *(f"train@{name}" for name in ("classifier", "boundary", "affinity", "segmenter", "segmenter_crf", "full")),
        *(f"export_cams@{name}" for name in ("cam", "cam_val")),
        *(f"predict_masks@{name}" for name in ("segmenter_raw", "segmenter", "segmenter_crf", "full_raw", "full")),
    },
    "recipes/voc_mini_cams": {f"train@{name}_{seed}_segmenter" for name in BASES for seed in range(3)},
    "recipes/voc_mini_rcm": {f"train@{name}_{seed}_segmenter" for name in VARIANTS for seed in range(3)},
    "recipes/voc_mini_rtc": {f"train@second_{seed}" for seed in range(3)},
}
"""BOOK: {`train@seam`, ...}: entries that were changed or removed on purpose since. Edit a book: name yours."""


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_fixture_is_of_shipped_books() -> None:
    assert len(BEFORE) == 7
    assert set(BEFORE) <= set(BOOKS)
    assert set(SEEDED) | set(CHANGED_SINCE) <= set(BEFORE)


@pytest.mark.parametrize("folder", BOOKS)
def test_params_is_the_expansion_to_the_byte(folder: str) -> None:
    """After an edit of book.yaml: python -m pipeline expand --book FOLDER."""
    assert expand_book(folder, write=False) == []


@pytest.mark.parametrize("folder", sorted(BEFORE))
def test_entries_say_what_they_said(folder: str) -> None:
    before, now = entries_of(BEFORE[folder]), entries_of(content_of(folder))
    exempt = CHANGED_SINCE.get(folder, set())
    for name in SEEDED.get(folder, "").split():
        key = f"train@{name}"
        assert key in exempt or "seed" not in before[key]
        before[key] = {**before[key], "seed": 0}
    assert len(before) > 50
    assert {key for key in before if text_of(before[key]) != text_of(now.get(key))} == exempt


@pytest.mark.parametrize("folder", sorted(BEFORE))
def test_tables_have_their_rows(folder: str) -> None:
    before, now = BEFORE[folder], content_of(folder)
    assert now["book"] == before["book"]
    repeats = now["table"].get("repeats", {})
    earlier = before["table"].get("repeats", {})
    for row in repeats.values():
        row.pop("against", None)  # what a row is compared with came later
    for key in repeats.keys() - earlier.keys():
        del repeats[key]  # and so did more rows
    for key, row in repeats.items():
        row["of"] = row["of"][: len(earlier[key]["of"])]  # and more seeds
    of_before = [key for key in now["table"]["recipes"] if key in before["table"]["recipes"]]
    assert of_before == list(before["table"]["recipes"]), "in their order"
    now["table"]["recipes"] = {key: now["table"]["recipes"][key] for key in of_before}
    for later in ("boxes", "bound"):  # rows over seeds of boxes came later too, and full supervision
        if later not in before["table"]:
            now["table"].pop(later, None)
    assert now["table"] == before["table"]


def content_of(folder: str) -> dict[str, Any]:
    expansion = expansion_of(folder)
    assert expansion is not None
    return expansion.content


def entries_of(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{verb}@{name}": entry for verb in SECTIONS for name, entry in content.get(verb, {}).items()}


def text_of(entry: dict[str, Any] | None) -> str:
    """So that 1, 1.0 and True are not the same; the order of keys does not count."""
    return json.dumps(entry, sort_keys=True)
