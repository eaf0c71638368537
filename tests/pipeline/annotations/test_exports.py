"""Files of tools that are not read are named, with what to export instead; damaged ones of tools that are read too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.made_annotations import refused

CVAT = '<?xml version="1.0"?>\n<annotations><image name="q0.png"><box label="cat" xtl="1"/></image></annotations>'
LABELME = {"shapes": [{"label": "cat", "points": [[1, 2], [3, 4]]}], "imagePath": "q0.png"}
VIA = {"q0.png123": {"filename": "q0.png", "size": 123, "regions": []}}
STUDIO = [{"id": 1, "data": {"image": "/data/q0.png"}, "annotations": []}]
VIA_CSV = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
READ = {
    "cvat.xml": (
        CVAT,
        "image 'q0.png' box 1: expected a box of CVAT for images 1.1, found nothing in place of a number",
    ),
    "labelme.json": (
        json.dumps(LABELME),
        "shape 1: expected a shape of LabelMe, found 4 numbers in place of x and y of 3",
    ),
    "via.json": (json.dumps(VIA), "found VIA's regions (no shapes)"),
    "via_project.json": (
        json.dumps({"_via_settings": {}, "_via_img_metadata": VIA}),
        "found VIA's regions (no shapes)",
    ),
    "via.csv": (f'{VIA_CSV}q0.png,1,"{{}}",1,0,"{{}}","{{}}"', "found VIA's regions (no shapes)"),
    "studio.json": (json.dumps(STUDIO), "found Label Studio's export (no shapes)"),
    "studio_min.json": (
        json.dumps([{"image": "q0.png", "label": [], "annotator": 1, "annotation_id": 3}]),
        "found Label Studio's export (no shapes)",
    ),
    "task.csv": (
        "image,id,label,annotator,annotation_id\n/data/q0.png,0,[],1,1",
        "found Label Studio's export (no shapes)",
    ),
    "yolo.txt": (
        "0 0.4 0.5 0.3 0.4\n1 0.1 0.2 3 0.4\n",
        "line 2: expected a line of YOLO's labels, found 0.1 to 3, which",
    ),
    "supervisely.json": (
        json.dumps({"size": {"height": 64, "width": 96}, "objects": [{"classTitle": "cat"}]}),
        "object 1: expected a polygon of Supervisely, found no points",
    ),
    "datumaro.json": (json.dumps({"info": {}, "categories": {}, "items": []}), "found Datumaro's JSON (no shapes)"),
    "q0.xml": ("<annotation><object/></annotation>", "object 1 ('') with no bndbox"),
    "broken.json": ('{"images": [', "damaged JSON"),
    "deep.json": ("[" * 100_000, "lists within lists without end"),
}
"""Damaged, or without a shape."""
FILES = {
    "createml.json": (
        json.dumps([{"image": "q0.png", "annotations": [{"label": "cat", "coordinates": {"x": 1}}]}]),
        "CreateML's JSON",
    ),
    "vott.json": (json.dumps({"asset": {}, "regions": []}), "VoTT's JSON"),
    "detections.json": (
        json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]),
        "COCO's JSON of results",
    ),
    "labelbox.ndjson": (
        '{"data_row": {"external_id": "q0.png"}, "projects": {}}\n{"data_row": {"external_id": "q1.png"}}',
        "found an export of Labelbox. Remedy: ",
    ),
    "darwin.json": (
        json.dumps({"dataset": "x", "image": {"filename": "q0.png"}, "annotations": []}),
        "V7 Darwin's JSON 1.0",
    ),
    "kili.json": (json.dumps([{"externalId": "q0", "labels": [{"jsonResponse": {}}]}]), "found Kili's JSON. Remedy: "),
    "encord.json": (json.dumps([{"label_hash": "a", "data_title": "q0.png", "data_units": {}}]), "Encord's JSON"),
    "scale.json": (json.dumps([{"task_id": "1", "params": {}, "response": {"annotations": []}}]), "Scale's tasks"),
    "superannotate.json": (json.dumps({"metadata": {"name": "q0.png"}, "instances": []}), "SuperAnnotate's JSON"),
    "output.manifest": ('{"source-ref": "s3://x/q0.png"}\n{"source-ref": "s3://x/q1.png"}', "Ground Truth"),
    "_classes.csv": ("Pixel Value, Class\n0, background\n1, cat", "Roboflow's masks with _classes.csv"),
    "open_images.csv": (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\nq0,b,cat,1,0.1,0.2,0.3,0.4",
        "like shares of the image",
    ),
    "dlib.xml": ("<dataset><images/></dataset>", "dlib's XML"),
    "wheat.csv": ('image_id,width,height,bbox,class\na,9,9,"[1, 2, 3, 4]",cat', "a table with a box in one column"),
    "table.xlsx": ("PK\x03\x04", "a ZIP archive or an Excel workbook"),
    "other.json": ('{"hello": 1}', "JSON of another kind"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_a_file_of_another_tool_is_named(tmp_path: Path, name: str, kind: str) -> None:
    content, what = FILES[name]
    (tmp_path / name).write_text(content)
    message = refused(kind, tmp_path / name)
    assert what in message or (kind == "points" and name in ("open_images.csv", "wheat.csv")), message
    assert str(tmp_path / name) in message


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", ["boxes", "points"])
def test_a_damaged_file_of_a_tool_that_is_read_says_what_is_wrong(tmp_path: Path, name: str, kind: str) -> None:
    content, what = READ[name]
    (tmp_path / name).write_text(content)
    message = refused(kind, tmp_path / name)
    assert what in message, message
    assert str(tmp_path / name) in message


def test_a_folder_of_another_tool_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    for id in ("q0", "q1"):
        (folder / f"{id}.json").write_text(FILES["vott.json"][0])
    assert "VoTT's JSON" in refused("boxes", folder)
    assert "VoTT's JSON" in refused("points", folder)
    assert "VoTT's JSON" in refused("scribbles", folder)
    assert "VoTT's JSON" in refused("shapes", folder)


def test_a_folder_with_the_files_one_below_is_named(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "q.json").write_text('{"hello": 1}')
    assert "found files in Annotations/. Remedy: name that folder." in refused("points", tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    for kind in ("boxes", "points"):
        assert "found no such file" in refused(kind, tmp_path / "none.csv")


def test_an_xml_without_boxes_and_one_with_entities(tmp_path: Path) -> None:
    folder = tmp_path / "xml"
    folder.mkdir()
    (folder / "q0.xml").write_text("<annotation><object><name>cat</name><polygon/></object></annotation>")
    (folder / "q1.xml").write_text(
        '<!DOCTYPE a [<!ENTITY x "aaaaaaaaaa"><!ENTITY y "&x;&x;&x;">]><annotation>&y;</annotation>'
    )
    (folder / "q2.xml").write_text("<annotation><object>")
    message = refused("boxes", folder)
    assert "q0.xml: expected a VOC annotation XML with bndbox (xmin, ymin, xmax, ymax) of each object, found" in message
    assert "object 1 ('cat') with no bndbox" in message
    assert "q1.xml: expected a VOC annotation XML, found one that defines entities" in message
    assert "q2.xml: expected a VOC annotation XML, found no element found" in message
