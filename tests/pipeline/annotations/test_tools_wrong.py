"""Exports that cannot be right get a message with their place, and never a traceback."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from models.errors import Weak2MaskError
from tests.helpers import tool_files
from tests.helpers.dataset_files import FORMS
from tests.helpers.drawn_labels import drawn, refused


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('<annotations><track id="0" label="cat"/></annotations>', "Remedy: export the task as 'CVAT for images 1.1'"),
        ('<annotations><image name="q0.png"><box xtl="1"/></image></annotations>', "found no label"),
        (
            '<annotations><image name="q0.png"><mask label="cat" rle="5,5" left="0" top="0" width="9" height="9"/>'
            "</image></annotations>",
            "run lengths that add up to 10, where the window has 9 x 9 pixels",
        ),
        (
            '<annotations><image name="q0.png"><mask label="cat" rle="1" left="0" top="0" width="99999" '
            'height="99999"/></image></annotations>',
            "a window of 99999 x 99999 pixels",
        ),
        (
            '<annotations><image name="q0.png" width="96" height="64"><polygon label="cat" '
            'points="1,1;500,1;500,400"/></image></annotations>',
            "polygon 1: expected a box within an image of 96 x 64, found (1, 1, 500, 400)",
        ),
        (
            '<annotations><image name="q0.png"><polygon label="cat" points="1,1;nan,5;7,7"/></image></annotations>',
            "'nan'",
        ),
        ('<annotations><image name="q0.png" width="64" height="96"/></annotations>', "Width and height are exchanged"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "one that defines entities. Remove them."),
        ('<annotations><image name="q0.png"><box label="cat" xtl="9" ytl="1" xbr="3" ybr="5"/></image></annotations>',
         "a right or bottom that is not behind left or top"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "a.xml").write_text(content)
    message = refused(tmp_path / "a.xml", ("q0",))
    assert found in message
    assert "a.xml" in message


def test_a_brush_that_is_damaged_is_refused(tmp_path: Path) -> None:
    file = tool_files.label_studio(tmp_path, ("q1",), "brush")
    tasks = json.loads(file.read_text())
    value = tasks[0]["annotations"][0]["result"][0]["value"]
    good = value["rle"]
    for rle, found in (
        (good[:-40], "whose bits break off"),
        ([*good[:2], 255, *good[3:]], "where 96 x 64 pixels of 4 channels have others"),
        ("x", "in place of a list of bytes"),
        ([1, 2, 3], "a brush of 3 bytes"),
        ([300], "other values than bytes"),
    ):
        value["rle"] = rle
        file.write_text(json.dumps(tasks))
        assert found in refused(file, ("q1",))


def test_exports_of_several_tools_are_named(tmp_path: Path) -> None:
    tool_files.cvat(tmp_path, ("q0",))
    tool_files.labelme(tmp_path, ("q0",))
    message = refused(tmp_path, ("q0",))
    assert re.search(r"found CVAT's XML \(2 boxes\).*; LabelMe's JSON \(2 boxes\).*Remedy: name one of them", message)


def test_labels_of_label_studio_that_nobody_accepted_are_none(tmp_path: Path) -> None:
    """The remedy works: a prediction that was accepted is an annotation."""
    tasks = json.loads(tool_files.label_studio(tmp_path, ("q0", "q1")).read_text())
    for task, key in zip(tasks, ("annotations", "predictions"), strict=True):
        task["predictions"] = task.pop("annotations")
        task[key] = task[key] if key == "predictions" else []
    file = tmp_path / "predicted.json"
    file.write_text(json.dumps(tasks))
    said = "left out: prediction that nobody has accepted in the tool yet (2)."
    assert said in refused(file, ("q0", "q1"))
    file.write_text(json.dumps(tasks[1:]))  # no key `annotations` at all
    assert said.replace("2", "1") in refused(file, ("q0", "q1"))
    tasks[1]["annotations"] = tasks[1]["predictions"]
    (tmp_path / "accepted.json").write_text(json.dumps(tasks[1:]))
    assert drawn(tmp_path / "accepted.json", ("q1",))["q1"].tags.any()


@pytest.mark.parametrize("given", [{"results": []}, {"result": [[{"type": "choices"}]]}, {"result": None}])
def test_results_of_label_studio_in_another_place(tmp_path: Path, given: dict[str, Any]) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"data": {"image": "q0.png"}, "annotations": [{"id": 1, **given}]}]))
    assert "expected a list of results as `result` of an annotation, found" in refused(tmp_path / "a.json", ("q0",))


def test_a_width_of_label_studio_that_no_image_has_is_refused(tmp_path: Path) -> None:
    """Larger than 64 bits, it made an array of objects, which numpy does not round."""
    value = {"x": 10.5, "y": 12, "width": 31, "height": 34, "rotation": 0, "rectanglelabels": ["cat"]}
    box = {"type": "rectanglelabels", "original_width": 2.0**64, "original_height": 64, "value": value}
    (tmp_path / "a.json").write_text(
        json.dumps([{"data": {"image": "q0.png"}, "annotations": [{"id": 1, "result": [box]}]}])
    )
    assert "18446744073709551616" in refused(tmp_path / "a.json", ("q0",))


JSON_FORMS = ("labelme", "label_studio", "label_studio_min", "via", "via3", "coco", "datumaro", "supervisely", "darwin")
VALUES = some.sampled_from([None, True, -1, 0, 7, 1e300, 10**400, float("nan"), "", "x", "cat", [], [[]], {}, {"x": 1}])


def nodes(content: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything within a JSON."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [(content, key) for key, _ in items] + [node for _, value in list(items) for node in nodes(value)]


@pytest.mark.parametrize("form", JSON_FORMS)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(place=some.floats(0, 0.999), value=VALUES, kind=some.sampled_from(["shapes", "boxes", "points", "masks"]))
def test_a_value_of_another_kind_anywhere_gives_labels_or_a_message(
    tmp_path: Path, form: str, place: float, value: Any, kind: str
) -> None:
    folder = Path(mkdtemp(dir=tmp_path))
    writer, how, ids = FORMS[form]
    written = writer(folder, ids, how)
    file = written if written.is_file() else sorted(written.rglob("*.json"))[0]
    content = json.loads(file.read_text())
    container, key = nodes(content)[int(place * len(nodes(content)))]
    container[key] = value
    file.write_text(json.dumps(content))
    with suppress(Weak2MaskError):
        drawn(written, tuple(ids), kind, **({"unannotated": "background"} if kind == "shapes" else {}))
