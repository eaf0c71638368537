"""Dry runs: every stage once, small, and nothing of the book itself touched."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from models.errors import ConfigurationError, TransientError
from pipeline.__main__ import app
from pipeline.book.check import check
from pipeline.book.entries import TrainEntry
from pipeline.book.links import sources_for_now
from pipeline.book.params import Book, load_book
from pipeline.datasets.catalogue import Catalogue
from pipeline.running.dry_run.derive import derive
from pipeline.running.dry_run.limits import SMALL_RATE, Limits
from pipeline.running.dry_run.outcome import DryRunOutcome
from pipeline.running.dry_run.run import _why, dry_run
from tests.helpers import made_book

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
NET = {"backbone": "resnet18", "width": 0.25}
SCRATCH = Path("work/dry_run/made")
MADE = {"data": "made"}


def content() -> dict[str, Any]:
    """A classifier from weights that are not there, its CAMs, and what judges them."""
    made = made_book.book(
        table={},
        prepare={"made": {"reader": "toy", "root": ".", "options": {"train": 12, "val": 4}}},
        annotate={"tags": MADE | {"split": "train", "kind": "tags"}},
        import_weights={"start": {"architecture": "resnet18", "file": "weights.pth"}},
        train={
            "net": MADE
            | {
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
        evaluate={"cam": MADE | {"of": "cams/cam", "split": "train"}},
    )
    found: dict[str, Any] = made.model_dump(mode="json", exclude_none=True)
    return found


def written(found: dict[str, Any]) -> Book:
    Path("params.yaml").write_text(yaml.safe_dump(found))
    return load_book()


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    return written(content())


def go(book: Book, limits: Limits, *targets: str, everything: bool = False) -> dict[str, DryRunOutcome]:
    ended, summary = dry_run(book, targets, limits, everything=everything, say=lambda line: None)
    assert [one["stage"] for one in json.loads(summary.read_text())["stages"]] == [one.stage for one in ended]
    return {one.stage: one for one in ended}


@pytest.mark.slow
def test_every_stage_runs_on_few_images_and_steps_beside_the_book(book: Book, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    ran = go(book, Limits(max_steps=2, images=3))
    stages = ("prepare@made", "annotate@tags", "import_weights@start", "train@net", "export_cams@cam", "evaluate@cam")
    assert {name: one.state for name, one in ran.items()} == dict.fromkeys(stages, "ran")
    assert all(one.seconds > 0 and one.peak_gib > 0 for one in ran.values())
    catalogue = Catalogue.load(SCRATCH / "catalogues" / "made")
    assert {name: len(ids) for name, ids in catalogue.splits.items()} == {"train": 3, "val": 3}
    assert len(list((SCRATCH / "catalogues/made/images").iterdir())) == 6, "no other image was drawn"
    history = list(csv.DictReader((SCRATCH / "histories" / "net.csv").open()))
    assert [row["step"] for row in history] == ["1", "2"]
    assert float(history[0]["cross_prototype"]) > 0, "what begins late takes part"
    output = json.loads((SCRATCH / "dry_run.json").read_text())
    assert "weights.pth is not there; random weights stand for resnet18" in output["notices"][0]
    assert output["counts"] == {"ran": 6, "left": 0}
    assert output["limits"] == {"max_steps": 2, "images": 3, "batch": None, "precision": None}
    after = {path for path in tmp_path.rglob("*") if "dry_run" not in path.parts and ".scratch" not in path.parts}
    assert after - before == {tmp_path / "work"}


@pytest.mark.slow
def test_a_failure_costs_only_what_stands_on_it(book: Book) -> None:
    found = content()
    found["annotate"]["masks"] = MADE | {"split": "train", "kind": "masks"}
    found["annotate"]["tags"]["split"] = "train"
    found["import_annotations"]["points"] = MADE | {"split": "train", "kind": "points", "file": "none.csv"}
    found["train"]["on_points"] = found["train"]["net"] | {
        "supervision": "points",
        "method": "segmenter",
        "add_ons": {},
    }
    found["predict_masks"]["on_points"] = MADE | {"split": "val", "checkpoint": "on_points"}
    found["import_annotations"]["boxes"] = MADE | {"split": "train", "kind": "boxes", "file": "params.yaml"}
    found["train"]["on_boxes"] = found["train"]["on_points"] | {"supervision": "boxes"}
    wanted = ("predict_masks@on_points", "train@on_boxes", "annotate@masks")
    ran = go(written(found), Limits(max_steps=1, images=2), *wanted)
    assert {name: one.state for name, one in ran.items()} == {
        "prepare@made": "ran",
        "import_annotations@points": "skipped",
        "import_weights@start": "ran",
        "train@on_points": "skipped",
        "predict_masks@on_points": "skipped",
        "import_annotations@boxes": "failed",
        "train@on_boxes": "skipped",
        "annotate@masks": "ran",
    }
    assert ran["import_annotations@points"].reason == "none.csv is not there"
    assert ran["predict_masks@on_points"].reason == "needs import_annotations@points: none.csv is not there"
    assert ran["train@on_boxes"].reason == "needs import_annotations@boxes, which failed"
    assert "params.yaml" in ran["import_annotations@boxes"].reason
    assert Path(ran["import_annotations@boxes"].log).read_text()


def test_the_command_says_how_it_went(book: Book) -> None:
    found = content()
    found["import_annotations"]["boxes"] = MADE | {"split": "train", "kind": "boxes", "file": "params.yaml"}
    written(found)
    output = CliRunner().invoke(app, ["run", "--limit", "2", "import_annotations@boxes"])
    assert output.exit_code == 1, output.output
    assert "import_annotations@boxes failed" in output.output
    assert "1 ran, 1 failed. Written: work/dry_run/made/dry_run.json" in output.output


def test_annotations_of_images_beyond_the_limit_do_not_count(book: Book) -> None:
    rows = [f"train_{k:05d},background,,,," for k in range(12)]
    Path("boxes.csv").write_text("\n".join(["image,class,x1,y1,x2,y2", *rows]) + "\n")
    found = content()
    found["import_annotations"]["boxes"] = MADE | {"split": "train", "kind": "boxes", "file": "boxes.csv"}
    ran = go(written(found), Limits(images=2), "import_annotations@boxes")
    assert ran["import_annotations@boxes"].state == "ran", ran


def test_what_a_dry_run_changes_of_a_training(book: Book) -> None:
    entry = derive(book, (), Limits(max_steps=2, images=6)).book.train["net"]
    assert entry.settings == {"steps": 2, "warmup_steps": 1, "log_every": 1, "lr": SMALL_RATE}
    assert entry.loader == {"crop": 64, "batch_size": 6}
    assert entry.model == NET
    assert entry.add_ons == {"ppc": {"start": 0}}
    kept = derive(book, (), Limits(images=8)).book.train["net"]
    assert (kept.settings, kept.loader) == (book.train["net"].settings, book.train["net"].loader)
    short = derive(book, (), Limits(max_steps=50)).book.train["net"]
    assert short.settings == {"steps": 50, "warmup_steps": 10, "log_every": 1, "lr": SMALL_RATE}


@pytest.mark.parametrize(
    ("images", "batch", "whole", "accumulate"), [(8, None, 8, 2), (3, None, 3, 1), (None, 5, 4, 1), (99, 99, 16, 4)]
)
def test_accumulated_parts_keep_their_size(
    book: Book, images: int | None, batch: int | None, whole: int, accumulate: int
) -> None:
    loader, settings = {"batch_size": 16}, {"steps": 9, "accumulate": 4}
    entry = book.train["net"].model_copy(update={"loader": loader, "settings": settings})
    small = Limits(1, images, batch).training(entry)
    assert (small.loader["batch_size"], small.settings["accumulate"]) == (whole, accumulate)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("rtc", ("segmentation_start", "transform_start", "noise_start")),
        ("one_stage", ("pretrain", "noise_start")),
        ("afa", ("pretrain", "noise_start")),
        ("toco", ("pretrain", "noise_start")),
        ("dupl", ("pretrain", "noise_start")),
        ("weclip_plus", ("affinity_start", "own_labels", "noise_start")),
    ],
)
def test_losses_that_begin_late_begin_at_once(method: str, options: tuple[str, ...]) -> None:
    entry = TrainEntry(data="a", supervision="a", init="a", method=method, settings={"epochs": 20})
    assert Limits(max_steps=2).training(entry).model == dict.fromkeys(options, 0)
    assert Limits(images=2).training(entry).model == {}


def test_weights_that_would_be_downloaded_are_random_ones(book: Book) -> None:
    found = content()
    found["import_weights"]["start"] |= {"file": "params.yaml", "download": True}
    derived = derive(written(found), (), Limits(images=2))
    assert derived.book.import_weights["start"].architecture == "random"
    assert "would be downloaded" in derived.notices[0]


def test_an_official_network_without_its_file_has_random_weights(book: Book) -> None:
    found = content()
    found["import_weights"]["seam"] = {"official": "seam", "file": "seam.pth"}
    found["prepare"]["made"] |= {"reader": "coco", "options": {}}
    found["export_cams"]["cam"]["checkpoint"] = "seam"
    derived = derive(written(found), (), Limits(images=2))
    entry = derived.book.import_weights["seam"]
    assert entry.untrained
    assert len(entry.classes or ()) == 80
    check(derived.book)
    assert any("random weights stand for seam" in notice for notice in derived.notices)


def test_a_missing_data_set_is_an_error_with_a_remedy(book: Book) -> None:
    found = content()
    found["prepare"]["made"]["root"] = "data/nowhere"
    found["book"]["sources"] = {"data/nowhere": "WEAK2MASK_NOWHERE"}
    with pytest.raises(ConfigurationError, match=r"prepare\.made\.root: data/nowhere.*WEAK2MASK_NOWHERE(.|\n)*devkit"):
        go(written(found), Limits(images=2))
    assert not Path("work").exists()


def test_targets_must_be_stages(book: Book) -> None:
    assert derive(book, ["annotate@tags"], Limits(images=2)).order == (("prepare", "made"), ("annotate", "tags"))
    with pytest.raises(ConfigurationError, match=r"no stage 'evaluate@cma'.*evaluate@cam"):
        go(book, Limits(images=2), "evaluate@cma")


def test_whoever_ends_a_dry_run_ends_its_stage(book: Book) -> None:
    found = content()
    found["prepare"]["made"]["options"] = {"train": 99999, "val": 4}
    written(found)
    command = [sys.executable, "-m", "pipeline", "run", "--max-steps", "2", "prepare@made"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        images = SCRATCH / "catalogues" / ".partial.made"
        while not images.is_dir():
            assert running.poll() is None
            time.sleep(0.05)
        running.terminate()
        assert running.wait(30) == 143
    assert _still(images)


def _still(folder: Path) -> bool:
    """Whether nothing is written any more."""
    before = len(list(folder.rglob("*")))
    time.sleep(1)
    return len(list(folder.rglob("*"))) == before


@pytest.mark.parametrize("option", ["max_steps", "images", "batch"])
def test_limits_must_be_positive(option: str) -> None:
    with pytest.raises(ConfigurationError, match="above 0, found 0"):
        Limits(**{option: 0})


def test_precision_of_trainings(book: Book) -> None:
    assert Limits(images=2, precision="bf16-mixed").training(book.train["net"]).precision == "bf16-mixed"
    with pytest.raises(ConfigurationError, match=r"--precision: unknown 'bf16'.*bf16-mixed"):
        Limits(images=2, precision="bf16")


@pytest.mark.parametrize("name", ["voc12", "wsol_cub"])
def test_precision_of_networks_in_use(name: str) -> None:
    whole = load_book(ROOT / "recipes" / name)
    limits = Limits(images=2, precision="bf16-mixed")
    for verb in ("export_cams", "propagate_cams", "predict_masks", "evaluate_boxes"):
        section = {key: limits.use(entry) for key, entry in getattr(whole, verb).items()}
        whole = whole.model_copy(update={verb: section})
        for entry in section.values():
            assert getattr(entry, "precision", None) == "bfloat16" or entry.options["precision"] == "bfloat16"
    check(whole)


def test_one_dry_run_of_a_book_at_a_time(book: Book) -> None:
    SCRATCH.parent.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(SCRATCH.with_name(f"{SCRATCH.name}.lock")),
        pytest.raises(TransientError, match=r"dry run in .*: expected to be alone"),
    ):
        go(book, Limits(images=2), "annotate@tags")
    go(book, Limits(images=2), "annotate@tags")


def test_links_to_data_are_put_back(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("real", "made"):
        (tmp_path / name).mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set").symlink_to(tmp_path / "real")
    monkeypatch.setenv("SET_FOLDER", str(tmp_path / "made"))
    monkeypatch.setenv("WEIGHTS_FOLDER", str(tmp_path / "made"))
    sources = {"data/set": "SET_FOLDER", "data/weights": "WEIGHTS_FOLDER"}
    sourced = book.model_copy(update={"book": book.book.model_copy(update={"sources": sources})})
    with sources_for_now(sourced):
        assert (tmp_path / "data" / "set").resolve() == tmp_path / "made"
    assert (tmp_path / "data" / "set").resolve() == tmp_path / "real"
    assert not (tmp_path / "data" / "weights").exists()


def test_a_list_of_reasons_begins_with_its_first() -> None:
    assert _why("") == ""
    assert _why("killed\n  by someone") == "killed"
    assert _why("Bad annotations (2):\n  line 8: no class\n  line 9: no x") == "Bad annotations (2): line 8: no class"


@pytest.mark.slow
def test_a_resumed_run_keeps_what_ran_and_is_as_it_was(book: Book) -> None:
    def run(resume: bool = True, images: int = 2) -> list[str]:
        output: list[str] = []
        targets = ("annotate@tags", "import_weights@start")
        dry_run(load_book(), targets, Limits(images=images), resume=resume, say=output.append)
        return [line.partition("] ")[2].removesuffix(" ...") for line in output if line.endswith(("kept", " ..."))]

    weights, tags, catalogue = "import_weights@start", "annotate@tags", "prepare@made"
    assert run(resume=False) == [catalogue, tags, weights]
    assert run() == [f"{catalogue} kept", f"{tags} kept", f"{weights} kept"]
    (SCRATCH / "supervision" / "tags").rename(SCRATCH / "lost")
    assert run() == [f"{catalogue} kept", tags, f"{weights} kept"]
    found = content()
    found["import_weights"]["start"]["file"] = "other.pth"
    written(found)
    assert run() == [f"{catalogue} kept", f"{tags} kept", weights]
    assert run(images=3) == [catalogue, tags, f"{weights} kept"], "another limit, other images"
    assert {one["state"] for one in json.loads((SCRATCH / "dry_run.json").read_text())["stages"]} == {"ran"}


def test_resume_belongs_to_a_dry_run(book: Book) -> None:
    output = CliRunner().invoke(app, ["run", "--resume"])
    assert output.exit_code != 0
    assert "--resume belongs to a dry run" in str(output.exception or output.output)
