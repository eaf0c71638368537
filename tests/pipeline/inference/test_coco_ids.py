"""Predictions in the ids of a COCO file of the user's own, as pycocotools compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from models.errors import ConfigurationError, DataError
from pipeline.inference.coco import coco_dataset, coco_segments
from pipeline.inference.coco_ids import read_ids, size_notices
from pipeline.inference.inputs import Input
from tests.helpers.coco_folder import HEIGHT, WIDTH, square

CLASSES = ("leaf", "stone")


def write(path: Path, names: tuple[str, ...] = ("a.png", "b.png"), **more: Any) -> Path:
    """Images 40, 41, ... and the categories 7 stone and 30 leaf; a leaf on the first, a stone on the second."""
    images = [{"id": 40 + k, "file_name": n, "height": HEIGHT, "width": WIDTH} for k, n in enumerate(names)]
    objects = [
        {"id": 1, "image_id": 40, "category_id": 30, "segmentation": square(2, 2, 8, 8), "area": 36, "iscrowd": 0},
        {"id": 2, "image_id": 41, "category_id": 7, "segmentation": square(4, 0, 10, 10), "area": 60, "iscrowd": 0},
    ]
    categories = [{"id": 7, "name": "stone"}, {"id": 30, "name": "leaf", "supercategory": "plant"}]
    path.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories, **more}))
    return path


def inputs(*paths: str) -> list[Input]:
    return [Input(Path(path).stem, Path(path)) for path in paths]


def mask(label: int, left: int, top: int, right: int, bottom: int) -> Any:
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[top:bottom, left:right] = label
    return coco_segments(found, [0.1, 0.8, 0.9])


def test_pycocotools_evaluates_the_predictions(tmp_path: Path) -> None:
    path = write(tmp_path / "own.json")
    ids = read_ids(path, CLASSES, inputs("x/b.png", "x/a.png"))
    size = (HEIGHT, WIDTH)
    shown = [("x/b.png", size, mask(2, 4, 0, 10, 10)), ("x/a.png", size, mask(1, 2, 2, 8, 8))]
    content = coco_dataset(shown, CLASSES, ids)
    assert [(image["id"], image["file_name"]) for image in content["images"]] == [(41, "b.png"), (40, "a.png")]
    assert [(one["image_id"], one["category_id"]) for one in content["annotations"]] == [(41, 7), (40, 30)]
    assert content["categories"][1] == {"id": 30, "name": "leaf", "supercategory": "plant"}
    truth = COCO(str(path))
    (tmp_path / "results.json").write_text(json.dumps(content["annotations"]))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "results.json")), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    wrong = coco_dataset(shown, CLASSES)["annotations"]
    with pytest.raises(AssertionError, match="do not correspond"):
        truth.loadRes(wrong)


def test_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    images = [{"id": "040", "file_name": "a.png"}, {"id": "x", "file_name": "b.png"}]
    path = write(tmp_path / "own.json", images=images, categories=[{"id": "3", "name": "leaf"}], annotations=[])
    ids = read_ids(path, ("leaf",), inputs("a.png", "b.png"))
    assert [entry["id"] for entry in ids.images.values()] == ["040", "x"]
    assert ids.by_class == {"leaf": "3"}


def test_inputs_are_found_by_their_folders_and_without_their_suffix(tmp_path: Path) -> None:
    path = write(tmp_path / "own.json", ("cam_0\\img.png", "cam_1/img.png", "COCO_val2014_000000000009.jpg"))
    ids = read_ids(path, CLASSES, inputs("p/cam_1/img.png", "p/cam_0/img.png", "000000000009.png"))
    assert [entry["id"] for entry in ids.images.values()] == [41, 40, 42]
    with pytest.raises(DataError, match=r"found no single image for 1 of 1: img.png\. It lists 3"):
        read_ids(path, CLASSES, inputs("img.png"))


def test_what_does_not_meet_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "own.json")
    with pytest.raises(DataError, match=r"found no single image for 2 of 3: c.png, d.png\. It lists 2, such as a.png"):
        read_ids(path, CLASSES, inputs("a.png", "c.png", "d.png"))
    with pytest.raises(DataError, match=r"expected one input for each image, found for id 40: x/a.png, y/a.png"):
        read_ids(path, CLASSES, inputs("x/a.png", "y/a.png"))
    with pytest.raises(ConfigurationError, match=r"the class 'leaves' is no category. Did you mean 'leaf'"):
        read_ids(path, ("leaves",), inputs("a.png"))
    path.write_text("[]")
    with pytest.raises(DataError, match="a JSON list of 0 entries"):
        read_ids(path, CLASSES, inputs("a.png"))
    with pytest.raises(DataError, match=r"found none. Remedy: name it with --coco-ids"):
        read_ids(tmp_path / "nowhere.json", CLASSES, inputs("a.png"))


def test_a_file_without_annotations_has_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "own.json")
    content = json.loads(path.read_text())
    del content["annotations"]
    path.write_text(json.dumps(content))
    assert read_ids(path, CLASSES, inputs("a.png")).images["a.png"]["id"] == 40


def test_other_sizes_are_counted(tmp_path: Path) -> None:
    ids = read_ids(write(tmp_path / "own.json"), CLASSES, inputs("a.png", "b.png"))
    assert size_notices(ids, {"a.png": (HEIGHT, WIDTH)}) == []
    [notice] = size_notices(ids, {"a.png": (WIDTH, HEIGHT), "b.png": (HEIGHT, WIDTH)})
    assert "1 of 2 images have another size" in notice.text
    assert "a.png (10 x 20 stated, 20 x 10 found, H x W)" in notice.text
