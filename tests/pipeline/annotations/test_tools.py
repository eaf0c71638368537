"""The same scene as the file of each labelling tool gives the same supervision."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from models.structures import UNLABELLED
from pipeline.annotations.unannotated import remedy
from tests.helpers import dataset_files, tool_files
from tests.helpers.dataset_files import AREAS, FORMS
from tests.helpers.drawn_labels import drawn, notices, refused
from tests.helpers.drawn_scene import SCENE, true_mask
from tests.helpers.made_annotations import catalogue_of


@cache
def near_an_outline(id: str) -> Any:
    """Pixels within one of a change of the true mask."""
    mask = true_mask(id).astype(int)
    edge = np.zeros(mask.shape, bool)
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    return binary_dilation(edge, np.ones((3, 3)))


@pytest.mark.parametrize("form", FORMS)
def test_the_scene_is_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    writer, how, ids = FORMS[form]
    found = drawn(writer(tmp_path, ids, how), tuple(ids))
    for id in ids:
        seeds, present = found[id].seeds, {mark.name for mark in SCENE[id]}
        assert found[id].tags.tolist() == ["cat" in present, "dog" in present]
        if id in AREAS:
            wrong = seeds != true_mask(id)
            assert not (wrong & ~near_an_outline(id)).any()
            assert wrong.mean() < 0.02
    if "q0" in ids:
        boxes, classes = found["q0"].boxes, found["q0"].box_classes
        assert boxes is not None
        assert classes is not None
        np.testing.assert_allclose(boxes, [[10, 8, 40, 30], [50, 20, 90, 60]], atol=1e-4)
        assert classes.tolist() == [1, 2]
        assert (found["q0"].seeds == UNLABELLED).sum() == 30 * 22 + 40 * 40
        assert (found["q0"].seeds == 0).sum() == 64 * 96 - (30 * 22 + 40 * 40)
    if "q2" in ids:
        assert np.argwhere(found["q2"].seeds == 1).tolist() == [[30, 20]]
        assert np.argwhere(found["q2"].seeds == 2).tolist() == [[40, 70]]
        assert (found["q2"].seeds == UNLABELLED).sum() == 64 * 96 - 2
    if "q3" in ids:
        seeds = found["q3"].seeds
        assert {1, 2, UNLABELLED} == set(np.unique(seeds).tolist())
        assert seeds[5, 5] == seeds[20, 30] == seeds[20, 60] == seeds[21, 45] == 1
        assert seeds[50, 70] == seeds[40, 90] == 2
        assert seeds[23, 45] == UNLABELLED
    if "q5" in ids:
        assert (found["q5"].seeds == UNLABELLED).all()


def test_every_tool_has_the_same_seeds_where_it_draws_with_the_same_means(tmp_path: Path) -> None:
    """Of outlines, points and strokes the seeds are equal to the pixel, whichever tool wrote them."""
    kept: dict[str, Any] = {}
    for form in ("cvat", "labelme", "label_studio", "label_studio_csv", "via", "via3_csv", "datumaro"):
        writer, how, ids = FORMS[form]
        folder = tmp_path / form
        folder.mkdir()
        for id, supervision in drawn(writer(folder, ids, how), tuple(ids)).items():
            if id != "q4":  # a circle is an outline of many corners in some of them
                np.testing.assert_array_equal(supervision.seeds, kept.setdefault(id, supervision.seeds), f"{form} {id}")


def test_one_kind_of_a_file_alone(tmp_path: Path) -> None:
    file = tool_files.cvat(tmp_path, tuple(SCENE))
    assert (drawn(file, ("q2",), "points")["q2"].seeds == 1).sum() == 1
    boxes = drawn(file, ("q0", "q1"), "boxes")
    assert [len(boxes[id].boxes) for id in ("q0", "q1")] == [2, 2]  # type: ignore[arg-type]
    np.testing.assert_allclose(boxes["q1"].boxes[0], [10.5, 10.5, 70.5, 50.5])  # type: ignore[index]
    assert (drawn(file, ("q3",), "scribbles", width=1)["q3"].seeds == 2).sum() == 21
    assert set(np.unique(drawn(file, ("q1",), "masks")["q1"].seeds)) == {0, 1, 2}
    tags = drawn(file, tuple(SCENE), "tags")
    assert tags["q5"].tags.tolist() == [True, False]
    assert (tags["q1"].seeds == UNLABELLED).all()
    assert "expected points for 2 images, found none for 1 of them: q0" in refused(file, ("q0", "q2"), "points")
    assert "expected masks" not in refused(file, ("q0", "q1"), "masks")
    told = notices(file, ("q0", "q1"), only=["masks"], unannotated="background")
    (left,) = [notice for notice in told if notice.topic == "shapes_left_out"]
    assert "are of other kinds than masks and are left out" in left.text


def test_images_without_a_shape_are_asked_for(tmp_path: Path) -> None:
    file = tool_files.labelme(tmp_path, ("q0", "q1"))
    (tmp_path / "q2.json").write_text('{"shapes": [], "imagePath": "q2.png", "imageHeight": 64, "imageWidth": 96}')
    message = refused(file, ("q0", "q1", "q2", "q3"))
    assert "expected labels for 4 images, found none for 2 of them: q2, q3." in message
    assert re.findall("`unannotated: ([a-z_]+)`", message) == ["left_out", "background"]
    assert "`unannotated: unlabelled` keeps these with the tags" in remedy(catalogue_of(tags={"q0": (1,)}))
    ids = ("q0", "q1", "q2", "q3")
    assert (drawn(file, ids, unannotated="background")["q3"].seeds == 0).all()
    assert (drawn(file, ids, unannotated="unlabelled")["q3"].seeds == UNLABELLED).all()
    (notice,) = notices(file, ids, unannotated="unlabelled")
    assert (notice.topic, notice.count) == ("images_unlabelled", 2)


def test_an_image_that_is_said_to_have_no_object_is_background(tmp_path: Path) -> None:
    dataset_files.yolo(tmp_path, ("q0",))
    (tmp_path / "labels" / "q1.txt").write_text("")
    assert (drawn(tmp_path, ("q0", "q1"))["q1"].seeds == 0).all()


def test_names_of_classes_by_number(tmp_path: Path) -> None:
    folder = dataset_files.yolo(tmp_path / "mine", ("q0",))
    (folder / "data.yaml").write_text("names: {0: dog, 1: cat}\n")
    assert drawn(folder / "labels", ("q0",))["q0"].box_classes.tolist() == [2, 1]  # type: ignore[union-attr]
    assert drawn(folder / "data.yaml", ("q0",))["q0"].box_classes.tolist() == [2, 1]  # type: ignore[union-attr]
    (folder / "data.yaml").unlink()
    (notice,) = notices(folder, ("q0",))
    assert notice.topic == "classes_without_names"
    assert "0 is 'cat', 1 is 'dog'" in notice.text
    (folder / "labels" / "classes.txt").write_text("dog\n")
    assert "class '1', where 0 to 0 have a name" in refused(folder, ("q0",))


def test_several_people_who_drew_one_image(tmp_path: Path) -> None:
    def task(*results: list[dict[str, Any]]) -> Path:
        answers = [{"id": n, "completed_by": n, "result": result} for n, result in enumerate(results)]
        path = tmp_path / "tasks.json"
        path.write_text(json.dumps([{"id": 1, "data": {"image": "q0.png"}, "annotations": answers}]))
        return path

    def box(x: float, name: str = "cat", kind: str = "rectanglelabels") -> dict[str, Any]:
        value = {"x": x, "y": 25, "width": 25, "height": 50, kind: [name]}
        return {"type": kind, "original_width": 96, "original_height": 64, "value": value}

    def square(x: float, name: str) -> dict[str, Any]:
        points = [[x, 25], [x + 25, 25], [x + 25, 75], [x, 75]]
        value = {"points": points, "polygonlabels": [name]}
        return {"type": "polygonlabels", "original_width": 96, "original_height": 64, "value": value}

    file = task([box(25)], [box(27), box(70, "dog")], [box(26)])
    assert "found those of several for 1 images: q0. Remedy: `annotators: majority`" in refused(file, ("q0",))
    assert "annotators: majority" in refused(file, ("q0",), "boxes")
    agreed = drawn(file, ("q0",), annotators="majority")["q0"]
    np.testing.assert_allclose(agreed.boxes, [[0.26 * 96, 16, 0.51 * 96, 48]], atol=1e-3)  # type: ignore[arg-type]
    assert agreed.tags.tolist() == [True, False]
    assert len(drawn(file, ("q0",), annotators="union")["q0"].boxes) == 4  # type: ignore[arg-type]

    file = task([square(25, "cat")], [square(25, "cat")], [square(50, "dog")])
    agreed = drawn(file, ("q0",), annotators="majority")["q0"]
    assert (agreed.seeds[16:48, 24:48] == 1).all()
    assert (agreed.seeds[16:48, 50:70] == 0).all()
    file = task([square(25, "cat")], [square(25, "dog")])
    assert (drawn(file, ("q0",), annotators="majority")["q0"].seeds[20:40, 30:40] == 255).all()


def test_turned_boxes_are_the_boxes_around_them(tmp_path: Path) -> None:
    xml = '<annotations><image name="q0.png" width="96" height="64"><box label="cat" {}/></image></annotations>'
    (tmp_path / "a.xml").write_text(xml.format('xtl="40" ytl="10" xbr="60" ybr="50" rotation="90"'))
    found = drawn(tmp_path / "a.xml", ("q0",))["q0"].boxes
    np.testing.assert_allclose(found, [[30, 20, 70, 40]], atol=1e-4)  # type: ignore[arg-type]
    value = '"value": {"x": 50, "y": 25, "width": 25, "height": 12.5, "rotation": 90, "rectanglelabels": ["cat"]}'
    task = '[{{"data": {{"image": "q0.png"}}, "annotations": [{{"result": [{{"type": "rectanglelabels", {}}}]}}]}}]'
    size = '"original_width": 96, "original_height": 64'
    (tmp_path / "b.json").write_text(task.format(f"{size}, {value}"))
    found = drawn(tmp_path / "b.json", ("q0",))["q0"].boxes  # 24 x 8 pixels, turned about (48, 16)
    np.testing.assert_allclose(found, [[40, 16, 48, 40]], atol=1e-4)  # type: ignore[arg-type]
    (tmp_path / "b.json").write_text(task.format(value))
    assert "a turned shape without original_width and original_height" in refused(tmp_path / "b.json", ("q0",))


def test_areas_cover_each_other_by_their_order(tmp_path: Path) -> None:
    polygon = '<polygon label="{}" z_order="{}" points="10,10;50,10;50,50;10,50"/>'
    both = polygon.format("cat", 2) + polygon.format("dog", 1)
    (tmp_path / "a.xml").write_text(f'<annotations><image name="q0.png">{both}</image></annotations>')
    assert drawn(tmp_path / "a.xml", ("q0",))["q0"].seeds[30, 30] == 1
    (tmp_path / "a.xml").write_text((tmp_path / "a.xml").read_text().replace('z_order="2"', 'z_order="1"'))
    assert drawn(tmp_path / "a.xml", ("q0",))["q0"].seeds[30, 30] == 2


def test_marks_and_classes_that_were_not_drawn_leave_the_rest_open(tmp_path: Path) -> None:
    polygon = '<polygon label="cat" points="10,10;50,10;50,50;10,50"/>'
    for more in ('<points label="dog" points="70,30"/>', '<tag label="dog"/>'):
        (tmp_path / "a.xml").write_text(f'<annotations><image name="q0.png">{polygon}{more}</image></annotations>')
        found = drawn(tmp_path / "a.xml", ("q0",))["q0"]
        assert (found.seeds[30, 30], found.seeds[60, 90]) == (1, UNLABELLED)
        assert found.tags.tolist() == [True, True]


def test_crowds_difficult_objects_and_hidden_points(tmp_path: Path) -> None:
    item = {"image_id": 1, "category_id": 1}
    content = {
        "images": [{"id": 1, "file_name": "q0.png", "height": 64, "width": 96}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": 1, **item, "iscrowd": 1, "segmentation": {"counts": [0, 640, 5504], "size": [64, 96]}},
            {"id": 2, **item, "iscrowd": 0, "segmentation": [[40, 10, 60, 10, 60, 40]]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    seeds = drawn(tmp_path / "a.json", ("q0",))["q0"].seeds
    assert (seeds[:, :10] == 255).all()
    assert (seeds == 1).sum() > 200
    content["annotations"] = [{"id": 1, **item, "keypoints": [10, 10, 2, 30, 30, 1, 0, 0, 0]}]
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert (drawn(tmp_path / "a.json", ("q0",))["q0"].seeds == 1).sum() == 1
    assert any(notice.topic == "hidden_points" for notice in notices(tmp_path / "a.json", ("q0",)))


def test_a_brush_is_an_area_or_a_stroke(tmp_path: Path) -> None:
    file = tool_files.label_studio(tmp_path, AREAS, "brush")
    assert {notice.topic for notice in notices(file, AREAS)} == {"brush_as_areas"}
    assert not notices(file, AREAS, brush="areas")
    strokes = drawn(file, AREAS, brush="strokes")
    assert set(np.unique(strokes["q1"].seeds)) == {1, 2, UNLABELLED}
    np.testing.assert_array_equal(strokes["q1"].seeds, drawn(file, AREAS, "scribbles")["q1"].seeds)


def test_what_label_studio_writes_besides(tmp_path: Path) -> None:
    """Names of uploads, labels of their own entry, and choices about a shape and not about the image."""
    place = {"x": 25, "y": 25, "width": 25, "height": 50, "rotation": 0}
    size = {"original_width": 96, "original_height": 64}
    results = [
        {"id": "a", "type": "rectangle", **size, "value": place},
        {"id": "a", "type": "labels", **size, "value": {**place, "labels": ["cat"]}},
        {"id": "a", "type": "choices", **size, "value": {**place, "choices": ["small"]}},
        {"id": "b", "type": "textarea", "value": {"text": ["a cat"]}},
    ]
    cancelled = {"id": 2, "completed_by": 7, "was_cancelled": True, "result": [results[1]]}
    answers = [{"id": 1, "completed_by": {"id": 3, "email": "a@b"}, "result": results}, cancelled]
    task = {"id": 1, "data": {"photo": "/data/upload/2/0a1b2c3d-q0.png", "note": "x"}, "annotations": answers}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    found = drawn(tmp_path / "a.json", ("q0",))["q0"]
    np.testing.assert_allclose(found.boxes, [[24, 16, 48, 48]])  # type: ignore[arg-type]
    assert found.tags.tolist() == [True, False]
    (notice,) = notices(tmp_path / "a.json", ("q0",))
    assert notice.topic == "other_entries"
    assert "rectangle (1), choice about a shape (1), textarea (1), cancelled annotation (1)" in notice.text


def test_poses_of_yolo_are_boxes(tmp_path: Path) -> None:
    folder = dataset_files.yolo(tmp_path, ("q0",))
    (folder / "data.yaml").write_text("names: [cat, dog]\nkpt_shape: [2, 3]\n")
    (folder / "labels" / "q0.txt").write_text("1 0.5 0.5 0.2 0.5 0.4 0.4 2 0.6 0.6 2\n")
    np.testing.assert_allclose(drawn(folder, ("q0",))["q0"].boxes, [[38.4, 16, 57.6, 48]])  # type: ignore[arg-type]


def test_keypoints_of_an_object_with_an_area(tmp_path: Path) -> None:
    """The area says more: what it leaves out is background. The points are there for who asks for them."""
    item = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [30, 20, 2], "iscrowd": 0}
    region = [[10, 10, 50, 10, 50, 50, 10, 50], [1, 2, 3, 4]]
    content = {
        "images": [{"id": 1, "file_name": "q0.png", "height": 64, "width": 96}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{**item, "segmentation": region}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    seeds = drawn(tmp_path / "a.json", ("q0",))["q0"].seeds
    assert (seeds[30, 30], seeds[60, 90]) == (1, 0)
    assert (drawn(tmp_path / "a.json", ("q0",), "points")["q0"].seeds == 1).sum() == 1
