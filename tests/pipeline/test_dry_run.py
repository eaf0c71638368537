"""Dry runs: every stage once, small, and nothing of the book itself touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigurationError
from pipeline import dry_run
from pipeline.datasets.catalogue import Catalogue
from pipeline.dry_run import Limits, Ran, derive, targets_of
from pipeline.params import Book, load_book
from tests.pipeline import made_book

ROOT = Path(__file__).parents[2]
NET = {"backbone": "resnet18", "width": 0.25}


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    made = made_book.book(
        table={},
        prepare={"made": {"reader": "toy", "root": ".", "options": {"train": 12, "val": 4}}},
        annotate={"tags": {"data": "made", "split": "train", "kind": "tags"}},
        import_weights={"start": {"architecture": "resnet18", "file": "weights.pth"}},
        train={
            "net": {
                "data": "made",
                "supervision": "tags",
                "method": "classifier",
                "init": "start",
                "model": NET,
                "add_ons": {"ppc": {"start": 3.0}},
                "loader": {"crop": 64, "batch_size": 8},
                "settings": {"epochs": 30, "warmup_steps": 10},
            }
        },
        refine_cams={},
        make_pseudo_masks={},
        predict_masks={},
        evaluate={"cam": {"data": "made", "of": "cams/cam"}},
    )
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json", exclude_none=True)))
    return load_book()


def go(book: Book, limits: Limits, everything: bool = False) -> dict[str, Ran]:
    nodes = targets_of(book, [], everything)
    derived, absent = derive(book, limits)
    return {ran.stage: ran for ran in dry_run.run(derived, nodes, absent, lambda ran: None)}


def test_every_stage_runs_on_few_images_and_steps_beside_the_book(book: Book, tmp_path: Path) -> None:
    ran = go(book, Limits(steps=2, images=3, batch=2))
    assert {name: one.state for name, one in ran.items()} == dict.fromkeys(
        ("prepare@made", "annotate@tags", "import_weights@start", "train@net", "export_cams@cam", "evaluate@cam"), "ran"
    )
    assert ran["import_weights@start"].note == "weights.pth is not there: random weights"
    assert all(one.seconds > 0 and one.peak_gib > 0 for one in ran.values())
    scratch = tmp_path / "work" / "dry_run" / "made"
    catalogue = Catalogue.load(scratch / "work" / "catalogues" / "made")
    assert {name: len(ids) for name, ids in catalogue.splits.items()} == {"train": 3, "val": 3}
    history = (scratch / "work" / "histories" / "net.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in history] == ["step", "1", "2"]
    assert [one["stage"] for one in json.loads((scratch / "dry_run.json").read_text())] == list(ran)
    assert not (tmp_path / "work" / "made").exists()
    assert not (tmp_path / "dvc.lock").exists()
    assert not (tmp_path / "mlruns").exists()


def test_what_a_dry_run_changes(book: Book) -> None:
    entry = derive(book, Limits(steps=2, images=8, batch=4))[0].train["net"]
    assert entry.settings == {"steps": 2, "warmup_steps": 1, "log_every": 1, "accumulate": 1}
    assert entry.loader == {"crop": 64, "batch_size": 4, "cache": False}
    assert entry.model == NET
    assert entry.add_ons == {"ppc": {"start": 0.0}}
    kept = derive(book, Limits(images=8))[0].train["net"]
    assert (kept.settings["epochs"], kept.loader["batch_size"]) == (30, 8)


def test_a_failure_costs_only_what_stands_on_it(book: Book) -> None:
    content: dict[str, Any] = book.model_dump(mode="json", exclude_none=True)
    content["annotate"]["masks"] = {"data": "made", "split": "train", "kind": "masks"}
    content["annotate"]["tags"]["split"] = "nowhere"
    content["import_annotations"]["points"] = {"data": "made", "split": "train", "kind": "points", "file": "none.csv"}
    ran = go(Book.model_validate(content), Limits(steps=1, images=2), everything=True)
    assert ran["annotate@tags"].state == "failed"
    assert "nowhere" in ran["annotate@tags"].note
    assert ran["train@net"] == Ran("train@net", "skipped", note="needs annotate@tags")
    assert ran["evaluate@cam"].state == "skipped"
    assert ran["import_annotations@points"] == Ran("import_annotations@points", "skipped", note="none.csv is not there")
    assert ran["annotate@masks"].state == "ran"


def test_targets_bring_what_they_stand_on(book: Book) -> None:
    assert targets_of(book, ["annotate@tags"], False) == [("prepare", "made"), ("annotate", "tags")]
    with pytest.raises(ConfigurationError, match=r"no entry 'cma' under 'evaluate:'.*cam"):
        targets_of(book, ["evaluate@cma"], False)
    with pytest.raises(ConfigurationError, match="Expected VERB@NAME"):
        targets_of(book, ["cam"], False)


def test_limits_must_be_positive() -> None:
    with pytest.raises(ConfigurationError, match="expected 1 or more images, found 0"):
        Limits(images=0)
