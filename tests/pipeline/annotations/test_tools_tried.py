"""What the tools' own code writes beside the documented forms; docs/lab has the versions that were tried."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.structures import IGNORE
from pipeline.annotations.tools.values import address_path
from pipeline.datasets.image_names import ImageNames
from pipeline.problems.notices import Notice
from tests.helpers.dataset_files import coco, voc
from tests.helpers.drawn_labels import drawn, notices, refused
from tests.helpers.made_annotations import catalogue_of
from tests.helpers.tool_files import labelme

TURNED = [[30, 20, 70, 40]]
"""A box of 20 x 40 around (50, 30), turned by 90 degrees: the box around it."""
XML = "<annotation><filename>q0.png</filename>{}</annotation>"


def boxes(path: Path, *ids: str, kind: str = "shapes") -> Any:
    return drawn(path, ids or ("q0",), kind)["q0"].boxes


def folder_of(parent: Path, files: Mapping[str, str]) -> Path:
    """A new folder with these texts."""
    folder = Path(mkdtemp(dir=parent))
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def topics(found: list[Notice]) -> set[str]:
    return {notice.topic for notice in found}


def test_oriented_rectangles_of_labelme_6(tmp_path: Path) -> None:
    shape = {"label": "cat", "shape_type": "oriented_rectangle", "points": [[70, 20], [70, 40], [30, 40], [30, 20]]}
    (tmp_path / "q0.json").write_text(json.dumps({"version": "6.3.1", "imagePath": "q0.png", "shapes": [shape]}))
    np.testing.assert_allclose(boxes(tmp_path), TURNED)


def test_turned_boxes_of_xml_and_coco_have_their_rotation_as_an_attribute(tmp_path: Path) -> None:
    corners = "<xmin>40.0</xmin><ymin>10.0</ymin><xmax>60.0</xmax><ymax>50.0</ymax>"
    turn = "<attributes><attribute><name>rotation</name><value>90.0</value></attribute></attributes>"
    (tmp_path / "voc").mkdir()
    voc_xml = XML.format(f"<object><name>cat</name><bndbox>{corners}</bndbox>{turn}</object>")
    (tmp_path / "voc" / "q0.xml").write_text(voc_xml)
    for kind in ("shapes", "boxes"):
        np.testing.assert_allclose(boxes(tmp_path / "voc", kind=kind), TURNED, atol=1e-4)
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((40, 10), (60, 10), (60, 50), (40, 50)))
    box = f"<name>cat</name><type>bounding_box</type><polygon>{points}</polygon>"
    turn = "<attributes>occluded=False, rotation=90.0</attributes>"
    (tmp_path / "a.xml").write_text(XML.format(f"<imagesize/><object>{box}{turn}</object>"))
    np.testing.assert_allclose(boxes(tmp_path / "a.xml"), TURNED, atol=1e-4)
    content = json.loads(coco(tmp_path, ("q0",)).read_text())
    content["annotations"] = [{**content["annotations"][0], "bbox": [40, 10, 20, 40], "attributes": {"rotation": 90.0}}]
    (tmp_path / "b.json").write_text(json.dumps(content))
    np.testing.assert_allclose(boxes(tmp_path / "b.json"), TURNED, atol=1e-4)


def test_corners_with_decimals_are_measured_and_others_are_counted(tmp_path: Path) -> None:
    corners = "<xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax>"
    item = f"<object><name>cat</name><bndbox>{corners}</bndbox>{{4}}</object>"
    measured = folder_of(tmp_path, {"q0.xml": XML.format(item.format("10.0", "8.0", "40.5", "30.0", ""))})
    np.testing.assert_allclose(boxes(measured), [[10, 8, 40.5, 30]])
    counted = folder_of(tmp_path, {"q0.xml": XML.format(item.format(11, 9, 40, 30, ""))})
    np.testing.assert_allclose(boxes(counted), [[10, 8, 40, 30]])
    outline = "".join(f"<x{k}>{x}</x{k}><y{k}>{y}</y{k}>" for k, (x, y) in enumerate(((11, 9), (41, 9), (41, 31)), 1))
    polygon = f"<polygon>{outline}</polygon>"
    outlined = folder_of(tmp_path, {"q0.xml": XML.format(item.format(11, 9, 40, 30, polygon))})
    found = drawn(outlined, ("q0",))["q0"]
    assert found.boxes is None
    assert (found.seeds[9, 35], found.seeds[28, 12]) == (1, 0)
    np.testing.assert_allclose(boxes(outlined, kind="boxes"), [[10, 8, 40, 30]])


def test_oriented_boxes_of_yolo(tmp_path: Path) -> None:
    """Four corners of a parallelogram in each line; not where one line is an outline, or a data.yaml says otherwise."""
    line = "0 0.3125 0.3125 0.72917 0.3125 0.72917 0.625 0.3125 0.625\n"
    names = {"classes.txt": "cat\ndog\n"}
    plain = folder_of(tmp_path, {**names, "q0.txt": line})
    np.testing.assert_allclose(boxes(plain), [[30, 20, 70, 40]], atol=1e-2)
    assert topics(notices(plain, ("q0",))) == {"assumed"}
    assert "found YOLO's text files (1 boxes)" in refused(plain, ("q0",), "masks")
    beyond = folder_of(tmp_path, {**names, "q0.txt": line + "0 0.9 0.2 1.2 0.4 1.1 0.6 0.8 0.4\n"})
    np.testing.assert_allclose(boxes(beyond)[1], [76.8, 12.8, 96, 38.4], atol=1e-2)
    outlines = folder_of(tmp_path, {"data.yaml": "names: [cat, dog]\ntask: segment\n", "q0.txt": line})
    assert (drawn(outlines, ("q0",))["q0"].seeds == 1).sum() == 40 * 20
    assert not notices(outlines, ("q0",))
    stated = folder_of(tmp_path, {"data.yaml": "names: [cat, dog]\ntask: obb\n", "q0.txt": line})
    assert boxes(stated) is not None
    assert not notices(stated, ("q0",))
    mixed = folder_of(tmp_path, {**names, "q0.txt": line, "q1.txt": "1 0.1 0.1 0.4 0.1 0.5 0.6 0.1 0.5\n"})
    assert drawn(mixed, ("q0", "q1"))["q0"].boxes is None
    poses = folder_of(tmp_path, {**names, "q0.txt": "1 0.1 0.1 0.4 0.1 0.5 2 0.1 0.5 2 0 0 0 0\n"})
    assert "14 numbers. Remedy: of poses, write `kpt_shape`" in refused(poses, ("q0",))


def test_crowds_are_objects_if_the_user_says_so(tmp_path: Path) -> None:
    """CVAT's COCO says of all that a brush drew that it is a crowd; so does Datumaro's of masks."""
    file = coco(tmp_path, ("q1", "q4"), "rle")
    content = json.loads(file.read_text())
    plain = drawn(file, ("q1", "q4"))
    content["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(content))
    (notice,) = notices(file, ("q1", "q4"))
    assert (notice.topic, notice.count) == ("crowds", 1)
    assert (drawn(file, ("q1", "q4"), crowds="void")["q1"].seeds == IGNORE).any()
    for item in content["annotations"]:
        item["iscrowd"] = 1
    file.write_text(json.dumps(content))
    assert "that all 3 are crowds, which are void" in refused(file, ("q1", "q4"))
    assert not notices(file, ("q1", "q4"), crowds="areas")
    for id, found in drawn(file, ("q1", "q4"), crowds="areas").items():
        np.testing.assert_array_equal(found.seeds, plain[id].seeds)
        assert found.tags.tolist() == plain[id].tags.tolist()


def test_shapes_that_several_files_repeat_count_once(tmp_path: Path) -> None:
    file = coco(tmp_path, ("q0", "q1"))
    (tmp_path / "keypoints.json").write_text(file.read_text())
    assert len(boxes(tmp_path, "q0", "q1")) == 2
    (notice,) = notices(tmp_path, ("q0", "q1"))
    assert (notice.topic, notice.count) == ("shapes_twice", 4)


def test_masks_and_items_of_images_in_folders(tmp_path: Path) -> None:
    """Datumaro names images by the id that it gives them, and flattens the paths of the files that it writes."""
    ids = ("deep/q1", "q4")
    voc(tmp_path, ("q1", "q4"), "masks")
    (tmp_path / "SegmentationClass" / "deep").mkdir()
    (tmp_path / "SegmentationClass" / "q1.png").rename(tmp_path / "SegmentationClass" / "deep" / "q1.png")
    assert set(np.unique(drawn(tmp_path, ids)["deep/q1"].seeds)) == {0, 1, 2}
    item = {"id": "deep/q1", "image": {"path": "deep_q1.png", "size": [64, 96]}}
    item["annotations"] = [{"id": 1, "type": "bbox", "label_id": 0, "bbox": [1, 2, 30, 20]}]
    labels = {"label": {"labels": [{"name": "cat"}, {"name": "dog"}]}}
    (tmp_path / "a.json").write_text(json.dumps({"items": [item], "categories": labels}))
    found = drawn(tmp_path / "a.json", ids, unannotated="background")["deep/q1"].boxes
    np.testing.assert_allclose(found, [[1, 2, 31, 22]])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("64b8d764-two_areas.png", "two areas"),
        ("/data/upload/2/555cc66b-b%C3%A4ume_1.jpg", "bäume (1)"),
        ("a0b1c2d3-q0", "q0"),
        ("a0b1c2d3-deadbeef-x.png", "deadbeef-x"),
        ("64b8d764-same.png", None),
        ("two_areas.png", None),
    ],
)
def test_names_of_images_that_were_uploaded_to_label_studio(stored: str, meant: str | None) -> None:
    names = ImageNames(catalogue_of(("two areas", "bäume (1)", "q0", "deadbeef-x", "a/same", "b/same")))
    assert names.find(stored) == meant
    assert meant is not None or "any of" in names.hint(stored) or stored == "two_areas.png"


def test_an_address_as_the_name_of_an_image(tmp_path: Path) -> None:
    content = json.loads(coco(tmp_path, ("q0",)).read_text())
    for name in ("/data/local-files/?d=images/q%30.png", "https://host/bucket/q0.png?token=a/b"):
        content["images"][0]["file_name"] = name
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert len(boxes(tmp_path / "a.json")) == 2
    assert address_path("/data/local-files/?d=c%2B%2B%2525.png") == "c++%25.png"  # escaped once


def test_a_table_with_tabs_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    rows = "image\tid\tchoice\tannotator\tannotation_id\n/data/upload/1/q0.png\t1\tcat\t1\t1\n"
    (tmp_path / "labels" / "a.tsv").write_text(rows)
    assert drawn(tmp_path / "labels", ("q0",))["q0"].tags.tolist() == [True, False]


def test_a_cell_of_a_table_may_hold_all_vertices_of_an_image(tmp_path: Path) -> None:
    """More than the csv module takes by itself: a triangle whose last corner stands there 40,000 times."""
    corners = [[10, 10], [30, 10], *[[30, 30]] * 40_000]
    flat = [number for corner in corners for number in corner]
    header = "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"
    cells = [json.dumps(value) for value in (["q0.png"], 0, [], [7, *flat], {"1": "cat"})]
    row = ",".join('"{}"'.format(cell.replace('"', '""')) for cell in ("1", *cells))
    (tmp_path / "via3.csv").write_text(f'{header}\n# ATTRIBUTE = {{"1": {{"aname": "class"}}}}\n{row}\n')
    shares = [[100 * x / 96, 100 * y / 64] for x, y in corners]
    answer = [{"points": shares, "polygonlabels": ["cat"], "original_width": 96, "original_height": 64}]
    columns = {"annotation_id": 1, "annotator": 1, "image": "q0.png", "label": json.dumps(answer)}
    with (tmp_path / "studio.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns.keys(), columns.values()])
    for name in ("via3.csv", "studio.csv"):
        assert (tmp_path / name).stat().st_size > 300_000
        seeds = drawn(tmp_path / name, ("q0",))["q0"].seeds
        assert (seeds[12, 25], seeds[25, 12], seeds[25, 28]) == (1, 0, 1)
    again = (tmp_path / "via3.csv").rename(tmp_path / "again.csv")  # what was read before is kept
    before = csv.field_size_limit(1000)
    try:
        message = refused(again, ("q0",))
    finally:
        csv.field_size_limit(before)
    assert "again.csv line 3: expected a row of VIA 3's CSV, found field larger than field limit (1000)." in message


def test_brush_masks_of_label_studio_do_not_say_of_which_image_they_are(tmp_path: Path) -> None:
    Image.new("L", (96, 64)).save(tmp_path / "task-1-annotation-101-by-1-brush-cat-0.png")
    assert "brush masks of Label Studio without the names of their images. Remedy" in refused(tmp_path, ("q0",))


def test_a_mask_of_labelmes_xml_that_is_not_there(tmp_path: Path) -> None:
    for name in ("none.png", "../q0.xml"):
        mask = f"<object><name>cat</name><segm><mask>{name}</mask></segm></object>"
        folder = folder_of(tmp_path, {"q0.xml": XML.format(f"<imagesize/>{mask}")})
        assert f"found mask '{name}', which is not in" in refused(folder, ("q0",))


def test_boxes_of_labelmes_xml_alone(tmp_path: Path) -> None:
    """Also where the size stands at the end, as MIT's LabelMe wrote it."""
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((10, 8), (40, 8), (40, 30)))
    size = "<imagesize><nrows>64</nrows><ncols>96</ncols></imagesize>"
    outline = f"<object><name>cat</name><polygon>{points}</polygon></object>"
    (tmp_path / "q0.xml").write_text(XML.format(outline + " " * 5000 + size))
    np.testing.assert_allclose(boxes(tmp_path, kind="boxes"), [[10, 8, 40, 30]])


def test_ids_of_coco_as_other_programs_write_them(tmp_path: Path) -> None:
    """Text, decimals of pandas, from 0; categories without annotations; no `info`."""
    plain = json.loads(coco(tmp_path, ("q0", "q1")).read_text())
    number = {item["id"]: n for n, item in enumerate(plain["images"])}
    for name, made, meant in (
        ("text", lambda n: f"img-{n}", lambda n: f"img-{n}"),
        ("decimals", lambda n: n, float),
        ("digits", str, int),
    ):
        content = json.loads(json.dumps(plain))
        content.pop("info", None)
        content["categories"].append({"id": 77, "name": "bird"})
        for item in content["images"]:
            item["id"] = made(number[item["id"]])
        for item in content["annotations"]:
            item.setdefault("bbox", [1, 2, 3, 4])
            item["image_id"] = meant(number[item["image_id"]])
            item["category_id"] = str(float(item["category_id"]))
        folder = folder_of(tmp_path, {f"{name}.json": json.dumps(content)})
        for kind in ("shapes", "boxes"):
            np.testing.assert_allclose(boxes(folder / f"{name}.json", "q0", "q1", kind=kind)[0], [10, 8, 40, 30])
    plain["images"][1]["id"] = plain["images"][0]["id"]
    same = folder_of(tmp_path, {"a.json": json.dumps(plain)})
    assert "'q1.png': expected an id of its own, found" in refused(same / "a.json", ("q0", "q1"))


def test_yolo_as_windows_writes_it(tmp_path: Path) -> None:
    """Byte order marks, line ends of two characters, a path of another machine, boxes and outlines in one file."""
    box, outline = "0 0.260417 0.296875 0.3125 0.34375", "1 0.5 0.5 0.9 0.5 0.7 0.9"
    labels = {"q0.txt": f"\ufeff{box}\n{outline}\n", "q1.txt": "", "q2.txt": "\n"}
    names = "\ufeffpath: C:\\Users\\x\\farm\nnames:\n  0: cat\n  1: dog\n"
    for listed in ({"data.yaml": names}, {"classes.txt": "\ufeffcat\ndog\n\n"}):
        files = {name: text.replace("\n", "\r\n") for name, text in (labels | listed).items()}
        found = drawn(folder_of(tmp_path, files), ("q0", "q1", "q2"))
        np.testing.assert_allclose(found["q0"].boxes, [[10, 8, 40, 30]], atol=1e-3)  # type: ignore[arg-type]
        assert found["q0"].seeds[40, 66] == 2
        assert not found["q1"].seeds.any()
        assert not found["q2"].seeds.any()


@pytest.mark.parametrize("value", ["cat", {"cat": True}, {"cat": True, "dog": False}])
def test_dropdowns_radio_buttons_and_checkboxes_of_via(tmp_path: Path, value: Any) -> None:
    region = {"shape_attributes": {"name": "rect", "x": 10, "y": 8, "width": 30, "height": 22}}
    for more, good in (({}, True), ({"quality": {}}, True), ({"quality": {"blurred": True}}, False)):
        regions = [region | {"region_attributes": {"animal": value, **more}}]
        image = {"filename": "q0.png", "size": 9, "file_attributes": {}, "regions": regions}
        file = folder_of(tmp_path, {"v.json": json.dumps({"_via_img_metadata": {"q0.png9": image}})}) / "v.json"
        if good:
            np.testing.assert_allclose(boxes(file), [[10, 8, 40, 30]])
            continue
        assert "found attributes animal, quality, none of which is called class" in refused(file, ("q0",))
        file.write_text(file.read_text().replace("animal", "class"))  # which is the remedy
        np.testing.assert_allclose(boxes(file), [[10, 8, 40, 30]])


def test_parts_of_objects_in_pascal_voc_are_no_objects(tmp_path: Path) -> None:
    corners = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
    part = f"<part><name>head</name>{corners.format(12, 10, 20, 20)}</part>"
    item = f"<object>{part}<name>cat</name>{corners.format(11, 9, 40, 30)}</object>"
    np.testing.assert_allclose(boxes(folder_of(tmp_path, {"q0.xml": XML.format(item)})), [[10, 8, 40, 30]])


def test_groups_of_labelme_and_files_of_macs_beside(tmp_path: Path) -> None:
    folder = labelme(tmp_path, ("q0", "q1"))
    before = drawn(folder, ("q0", "q1"))
    for file in sorted(folder.glob("*.json")):
        file.write_text(file.read_text().replace('"group_id": null', '"group_id": 1'))
        (folder / f"._{file.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    for id, found in drawn(folder, ("q0", "q1")).items():
        np.testing.assert_array_equal(found.seeds, before[id].seeds)
