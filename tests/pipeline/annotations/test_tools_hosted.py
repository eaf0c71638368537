"""Exports of CVAT's projects, Roboflow, V7 and Supervisely: names, splits and holes that their formats document."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.drawn_labels import drawn, notices, refused
from tests.helpers.drawn_scene import true_mask
from tests.helpers.hosted_files import ROBOFLOW, darwin, roboflow_coco


@pytest.mark.parametrize("named", ["folders", "subsets"])
def test_images_of_one_name_in_the_tasks_of_a_project_of_cvat(tmp_path: Path, named: str) -> None:
    """A project has the folder of its images as an attribute, a task within the name."""
    item = '<image id="{}" {} width="96" height="64"><box label="cat" xtl="{}" ytl="2" xbr="30" ybr="20"/></image>'
    form = 'name="a.png" subset="{0}" task_id="1"' if named == "subsets" else 'name="{0}/a.png"'
    items = "".join(item.format(n, form.format(folder), n + 1) for n, folder in enumerate(("Train", "Validation")))
    (tmp_path / "annotations.xml").write_text(f"<annotations>{items}</annotations>")
    found = drawn(tmp_path / "annotations.xml", ("Train/a", "Validation/a"))
    assert [float(found[f"{folder}/a"].boxes[0][0]) for folder in ("Train", "Validation")] == [1, 2]  # type: ignore[index]
    task = tmp_path / "task.xml"
    task.write_text((tmp_path / "annotations.xml").read_text().replace("Validation", "default"))
    assert "Names there that no image has: 'default/a.png'" in refused(task, ("Train/a", "Validation/a"))
    (tmp_path / "one.xml").write_text(task.read_text().replace("a.png", "q0.png"))
    assert len(drawn(tmp_path / "one.xml", ("q0",))["q0"].boxes) == 2  # type: ignore[arg-type]  # no such folder is there


def test_roboflows_coco_of_three_splits(tmp_path: Path) -> None:
    ids = tuple(f"{id}{ROBOFLOW}" for id in ("q0", "q1", "q4"))
    found = drawn(roboflow_coco(tmp_path, ("q0", "q1", "q4")), ids)
    np.testing.assert_allclose(found[ids[0]].boxes, [[10, 8, 40, 30], [50, 20, 90, 60]])  # type: ignore[arg-type]
    for id in ("q1", "q4"):
        assert (found[f"{id}{ROBOFLOW}"].seeds != true_mask(id)).mean() < 0.02


def test_paths_within_paths_of_darwin_are_holes(tmp_path: Path) -> None:
    file = darwin(tmp_path, ("q0",)) / "q0.json"
    content = json.loads(file.read_text())

    def square(low: float, high: float) -> list[dict[str, float]]:
        return [{"x": x, "y": y} for x, y in ((low, low), (high, low), (high, high), (low, high))]

    paths = {"paths": [square(10, 50), square(20, 40), square(25, 35), square(52, 60)]}
    content["annotations"] = [{"id": "a", "name": "dog", "polygon": paths}, {"id": "b", "name": "x", "text": {}}]
    file.write_text(json.dumps(content))
    mask = np.zeros((64, 96), np.uint8)
    for (low, high), label in (((10, 50), 2), ((20, 40), 0), ((25, 35), 2), ((52, 60), 2)):
        mask[low:high, low:high] = label
    np.testing.assert_array_equal(drawn(file, ("q0",))["q0"].seeds, mask)
    (notice,) = notices(file, ("q0",))
    assert "left out: text (1)" in notice.text


def test_projects_of_supervisely(tmp_path: Path) -> None:
    """Holes are left out; an image without objects has its tags; figures that no mask can have are counted."""
    ann = tmp_path / "ds" / "ann"
    ann.mkdir(parents=True)
    (tmp_path / "meta.json").write_text(json.dumps({"classes": [{"title": "cat"}, {"title": "dog"}], "tags": []}))
    points = {
        "exterior": [[10, 10], [70, 10], [70, 50], [10, 50]],
        "interior": [[[20, 20], [40, 20], [40, 40], [20, 40]]],
    }
    objects = [
        {"classTitle": "cat", "geometryType": "polygon", "points": points},
        {"classTitle": "dog", "geometryType": "graph", "nodes": {}},
    ]
    around = {"description": "", "size": {"height": 64, "width": 96}}
    for id, given, tags in (("q0", objects, []), ("q1", [], [{"name": "dog", "value": None}])):
        (ann / f"{id}.png.json").write_text(json.dumps({**around, "objects": given, "tags": tags}))
    found = drawn(tmp_path, ("q0", "q1"))
    mask = np.zeros((64, 96), np.uint8)
    mask[10:50, 10:70] = 1
    mask[20:40, 20:40] = 0
    np.testing.assert_array_equal(found["q0"].seeds, mask)
    assert found["q1"].tags.tolist() == [False, True]
    (notice,) = notices(tmp_path, ("q0", "q1"))
    assert "left out: graph (1)" in notice.text


def test_masks_of_datumaro_in_a_folder(tmp_path: Path) -> None:
    """ "Common semantic segmentation": colours by their number, and masks beside the images."""
    (tmp_path / "masks").mkdir()
    colours = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
    for id in ("q1", "q4"):
        Image.fromarray(colours[true_mask(id)]).save(tmp_path / "masks" / f"{id}.png")
    labels = {"0": "background", "1": "cat", "2": "dog"}
    meta = {"label_map": labels, "segmentation_colors": colours.tolist(), "background_label": "0"}
    (tmp_path / "dataset_meta.json").write_text(json.dumps(meta))
    for id, found in drawn(tmp_path, ("q1", "q4")).items():
        np.testing.assert_array_equal(found.seeds, true_mask(id))
