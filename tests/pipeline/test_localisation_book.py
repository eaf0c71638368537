"""Object localisation through the verbs of a book: a made CUB folder and the toy scenes; checks, table, report."""

from __future__ import annotations

import csv
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigurationError, DataError
from pipeline.book.check import check
from pipeline.book.lineage import ancestors
from pipeline.book.params import VERBS, Book, load_book
from pipeline.results.report.page import write_report
from pipeline.results.tables.files import write_table
from pipeline.results.tables.paper import paper_table
from pipeline.results.tables.results import box_table, print_table
from pipeline.tracking.log import Log
from tests.helpers.wsol_folders import write_cub


def content(folder: str = "cub") -> dict[str, Any]:
    """Two steps of training on CUB's layout and on toy scenes."""
    model = {"backbone": "resnet18", "width": 0.25}
    train = {
        "supervision": "tags",
        "method": "classifier",
        "init": "random",
        "loader": {"square": 40, "crop": 32, "batch_size": 4, "num_workers": 0},
        "settings": {"epochs": 2, "lr": 0.01, "schedule": "step", "decay_epochs": 1},
    }
    found: dict[str, Any] = {verb: {} for verb in VERBS}
    return found | {
        "book": {"root": ".", "path": ".", "params": "params.yaml", "work": "work/birds"},
        "prepare": {
            "birds": {"reader": "cub", "root": folder},
            "toy": {"reader": "toy", "root": "params.yaml", "options": {"train": 8, "val": 8, "max_size": 128}},
        },
        "annotate": {
            "tags": {"data": "birds", "split": "train", "kind": "tags"},
            "tags_test": {"data": "birds", "split": "test", "kind": "tags"},
            "toy_tags": {"data": "toy", "split": "val", "kind": "tags"},
        },
        "import_weights": {"random": {"architecture": "random", "file": "params.yaml"}},
        "train": {
            "net": train | {"data": "birds", "model": model | {"labels": "single"}},
            "toy": train | {"data": "toy", "supervision": "toy_tags", "model": model},
        },
        "export_cams": {
            "test": {"data": "birds", "supervision": "tags_test", "checkpoint": "net", "options": {"square": 32}},
            "toy": {"data": "toy", "supervision": "toy_tags", "checkpoint": "toy", "options": {"scales": [1.0]}},
        },
        "refine_cams": {
            "crf": {"data": "birds", "cams": "test", "refiner": "dense_crf", "options": {"preset": "psa", "alpha": 4.0}}
        },
        "evaluate_boxes": {
            "test": {"data": "birds", "cams": "test", "checkpoint": "net", "options": {"side": 32, "square": 32}},
            "crf": {"data": "birds", "cams": "crf", "checkpoint": "net"},
            "plain": {"data": "birds", "cams": "test", "checkpoint": "net"},
            "toy": {"data": "toy", "cams": "toy", "checkpoint": "toy", "options": {"images": "single_object"}},
        },
        "table": {
            "boxes": {
                "cam": {"label": "CAM", "of": ["plain"]},
                "refined": {"label": "CAM, CRF", "of": ["crf"], "against": "cam"},
                "square": {"of": ["test"], "against": "cam"},
            }
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("birds")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("WEAK2MASK_ENGINE", "here")
    write_cub(folder / "cub")
    Path("params.yaml").write_text(yaml.safe_dump(content()))
    made = load_book()
    check(made)
    done: set[tuple[str, str]] = set()
    for name in made.evaluate_boxes:
        for node in ancestors(made, "evaluate_boxes", name):
            if node not in done:
                import_module(f"pipeline.binders.{node[0]}").run(made, node[1], Log())
                done.add(node)
    yield made
    patch.undo()


def metrics(book: Book, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(book.book.work) / "localisations" / name / "metrics.json").read_text())
    return found


@pytest.mark.parametrize(("name", "split", "images"), [("test", "test", 4), ("crf", "test", 4), ("toy", "val", None)])
def test_from_images_to_boxes(book: Book, name: str, split: str, images: int | None) -> None:
    found = metrics(book, name)
    assert found["split"] == split
    if images is not None:
        assert (found["images"], found["left_out"]) == (images, 0)
    else:
        assert found["images"] + found["left_out"] == 8
        assert min(found["images"], found["left_out"]) > 0
    assert 0 <= found["top1_loc"] <= found["top5_loc"] <= found["gt_known"] <= 100
    assert found["max_box_acc_v2_30"] >= found["max_box_acc_v2_50"] >= found["max_box_acc_v2_70"]
    assert found["max_box_acc_v2_50"] >= found["gt_known"], "V2 may choose among all contours"
    assert found["top5_loc"] == found["gt_known"] or name == "toy", "three classes: the right one is among five"
    with (Path(book.book.work) / "localisations" / name / "thresholds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1000
    assert max(float(row["max_box_acc"]) for row in rows) == pytest.approx(found["gt_known"])


def test_the_table_and_the_report_have_them(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    table = paper_table(book, runs={})
    print_table(table)
    assert "Object localisation" in capsys.readouterr().out
    files = write_table(table)
    assert "## Object localisation" in files["md"].read_text()
    assert json.loads(files["json"].read_text())["localisations"]["crf"]["metrics"] == metrics(book, "crf")
    lines = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert {line["evaluation"] for line in lines if line["column"] == "gt_known"} == set(book.evaluate_boxes)
    page = write_report(book).read_text()
    assert "Boxes that are right, by threshold" in page
    assert '<th scope="col" class="number">GT-known</th>' in page
    assert [row[0].rstrip("†") for row in box_table(book).cells] == list(book.evaluate_boxes)


def test_rows_over_seeds_and_their_difference(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    table = paper_table(book, runs={})
    assert [(row.label, row.values("gt_known")) for row in table.box_repeats] == [
        ("CAM", [metrics(book, "plain")["gt_known"]]),
        ("CAM, CRF", [metrics(book, "crf")["gt_known"]]),
        ("square", [metrics(book, "test")["gt_known"]]),
    ]
    refined = {each.metric.key: each for each in table.comparisons if each.key == "refined"}
    assert list(refined) == ["top1_loc", "gt_known", "max_box_acc_v2"]
    for key, each in refined.items():
        assert each.difference is not None
        assert each.difference.value == pytest.approx(metrics(book, "crf")[key] - metrics(book, "plain")[key])
        assert each.difference.images == 4
    others = {each.reason for each in table.comparisons if each.key == "square"}
    assert others == {"evaluated with another side"}, "on a square of 32 pixels other boxes match"
    print_table(table)
    assert "Object localisation over seeds" in capsys.readouterr().out
    files = write_table(table)
    assert "## Object localisation over seeds" in files["md"].read_text()
    written = json.loads(files["json"].read_text())
    assert [row["key"] for row in written["box_repeats"]] == ["cam", "refined", "square"]
    assert written["box_repeats"][0]["gt_known"]["mean"] == metrics(book, "plain")["gt_known"]
    assert "gt_known_mean" in files["csv"].read_text()
    assert "Object localisation over seeds</h3>" in write_report(book).read_text()


def test_an_older_evaluation_of_boxes_has_no_interval(book: Book) -> None:
    images = Path(book.book.work) / "localisations" / "crf" / "images.csv"
    whole = images.read_text()
    images.unlink()
    try:
        reasons = {each.reason for each in paper_table(book, runs={}).comparisons if each.key == "refined"}
        assert reasons == {f"no counts of single images for {title}; run evaluate_boxes@crf again" for title in
                           ("Top-1 Loc", "GT-known", "MaxBoxAccV2")}  # fmt: skip
    finally:
        images.write_text(whole)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"of": ["tets"]}, "table.boxes.cam.of: no evaluation of boxes 'tets'. Did you mean 'test'?"),
        ({"of": ["plain", "plain"]}, "table.boxes.cam.of: an evaluation stands twice"),
        ({"of": ["plain", "toy"]}, "table.boxes.cam: expected evaluations of one data set, found birds, toy"),
        ({"of": ["plain"], "against": "cam"}, "table.boxes.cam.against: expected another row"),
    ],
)
def test_rows_of_boxes_are_checked(tmp_path: Path, row: Any, expected: str) -> None:
    assert expected in problems(tmp_path, lambda found: found["table"]["boxes"].update(cam=row))


def test_a_metrics_file_that_is_not_whole(book: Book) -> None:
    path = Path(book.book.work) / "localisations" / "crf" / "metrics.json"
    whole = path.read_text()
    path.write_text("{}")
    try:
        with pytest.raises(DataError, match="expected the keys cams, split"):
            box_table(book)
    finally:
        path.write_text(whole)


def problems(tmp_path: Path, change: Any) -> str:
    found = content()
    change(found)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(found))
    with pytest.raises(ConfigurationError) as caught:
        check(load_book(tmp_path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("cams", "tets", "evaluate_boxes.test.cams: nothing makes cams 'tets'. Did you mean 'test'?"),
        ("checkpoint", "nett", "evaluate_boxes.test.checkpoint: nothing makes checkpoints 'nett'. Did you mean 'net'?"),
        ("checkpoint", "random", "'random' is imported weights, not a trained method"),
        ("data", "toy", "evaluate_boxes.test.cams: 'test' belongs to data 'birds', not to 'toy'"),
        ("options", {"side": -1}, "evaluate_boxes.test.options.side: expected 0 (the image's own size) or pixels"),
        ("options", {"images": "one"}, "evaluate_boxes.test.options.images: unknown value 'one'"),
        ("options", {"sides": 3}, "unknown key 'sides'. Did you mean 'side'?"),
    ],
)  # fmt: skip
def test_the_check_says_what_is_wrong(tmp_path: Path, key: str, value: object, expected: str) -> None:
    message = problems(tmp_path, lambda found: found["evaluate_boxes"]["test"].update({key: value}))
    assert expected in message


def test_a_page_that_cannot_rank_is_refused(tmp_path: Path) -> None:
    def change(found: dict[str, Any]) -> None:
        found["train"]["net"] |= {"method": "segmenter", "model": {}, "supervision": "crf_masks"}
        found["make_pseudo_masks"]["crf_masks"] = {"data": "birds", "cams": "crf", "rule": "complement"}
        found["export_cams"]["test"]["checkpoint"] = "toy"

    message = problems(tmp_path, change)
    assert "'net' is trained by 'segmenter', which cannot rank the classes of an image; methods that can:" in message
    assert "classifier" in message


def test_splits_of_cub_are_known_to_the_check(tmp_path: Path) -> None:
    message = problems(tmp_path, lambda found: found["annotate"]["tags_test"].update(split="tset"))
    assert "annotate.tags_test.split: data 'birds' has no split 'tset'. Did you mean 'test'?" in message
