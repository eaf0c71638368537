"""Boxes and points of CSV, XML and JSON: what is refused, what is said, and what is taken."""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pytest

from models.structures import UNLABELLED, Supervision
from pipeline.annotations.build import annotate_catalogue
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from tests.helpers.made_annotations import catalogue_of, coco_of, csv_of, notices_of, refused, xml_of

IDS = ("q0", "q1", "q2", "q3", "q4", "q5")
GOOD = [(id, "cat" if k % 2 else "dog", 10, 5, 60, 50) for k, id in enumerate(IDS)]


def supervision(kind: str, file: Path, id: str, catalogue: Catalogue | None = None) -> Supervision:
    ((_, found),) = annotate_catalogue(kind, catalogue or catalogue_of(), None, [id], {"file": str(file)})
    return found


def test_good_boxes_are_the_same_from_every_format_and_silent(tmp_path: Path) -> None:
    table = csv_of(tmp_path / "b.csv", GOOD)
    coco = coco_of(tmp_path / "b.json", {id: [(name, (x, y, r - x, b - y))] for id, name, x, y, r, b in GOOD})
    for id, name, x1, y1, x2, y2 in GOOD:
        xml_of(tmp_path / "xml", id, [(name, (x1 + 1, y1 + 1, x2, y2))], (96, 64))
    tagged = catalogue_of(tags={id: (1 if name == "cat" else 2,) for id, name, *_ in GOOD})
    for file in (table, coco, tmp_path / "xml"):
        assert notices_of("boxes", file, tagged) == []
        found = supervision("boxes", file, "q1")
        assert found.boxes is not None
        assert found.boxes.tolist() == [[10, 5, 60, 50]]
        assert found.tags.tolist() == [True, False]
        assert (found.seeds == UNLABELLED).sum() == 50 * 45


def test_a_voc_file_with_a_0_counts_from_0_and_others_beside_it_are_counted(tmp_path: Path) -> None:
    first = [("cat", (0, 5, 60, 50)), ("dog", (10, 7, 20, 30))]
    for id in (f"q{k}" for k in range(6)):
        xml_of(tmp_path / "xml", id, first if id == "q0" else [("cat", (11, 6, 60, 50))], (96, 64))
    zero, one = (supervision("boxes", tmp_path / "xml", id).boxes for id in ("q0", "q1"))
    assert zero is not None
    assert one is not None
    assert zero.tolist() == [[0, 5, 60, 50], [10, 7, 20, 30]]
    assert one.tolist() == [[10, 5, 60, 50]]
    for kind in ("boxes", "shapes"):
        notices = {notice.topic: notice.text for notice in notices_of(kind, tmp_path / "xml")}
        assert "1 of 6 files with whole numbers have a 0 at left or top" in notices["boxes_from_zero"]


def test_two_xml_files_for_an_image_are_refused(tmp_path: Path) -> None:
    for id in IDS:
        xml_of(tmp_path / "xml", id, [("cat", (11, 6, 60, 50)), ("dog", (5, 5, 30, 30))], (96, 64))
    second = xml_of(tmp_path / "xml" / "old", "q3", [("dog", (11, 6, 60, 50))], (96, 64))
    message = refused("boxes", tmp_path / "xml")
    assert (
        f"expected one file for image 'q3', found 2: {tmp_path / 'xml' / 'q3.xml'}, {second}. Remedy: keep" in message
    )


def test_shares_of_the_image_are_refused(tmp_path: Path) -> None:
    rows = [(id, name, x / 96, y / 64, r / 96, b / 64) for id, name, x, y, r, b in GOOD]
    message = refused("boxes", csv_of(tmp_path / "b.csv", rows))
    assert "all 6 boxes lie within 0.078125..0.78125 (no box is wider than a pixel), like shares" in message
    points = [(id, name, x / 96, y / 64) for id, name, x, y, *_ in GOOD]
    assert "all 6 points lie within" in refused("points", csv_of(tmp_path / "p.csv", points, "image,class,x,y"))
    assert notices_of("points", csv_of(tmp_path / "p.csv", [(id, "cat", 1, 0) for id in IDS], "image,class,x,y")) == []


def test_percents_of_the_image_are_refused(tmp_path: Path) -> None:
    rows = csv_of(tmp_path / "b.csv", [(id, "cat", 10.5, 5, 80, 92) for id in IDS])
    assert "like percents of the image, whose width and height are 400 x 300" in refused(
        "boxes", rows, catalogue_of(size=(300, 400))
    )
    (doubt,) = notices_of("boxes", rows, catalogue_of(size=(150, 200)))
    assert doubt.topic == "numbers_within_100"
    small = refused("boxes", csv_of(tmp_path / "b.csv", [(id, "cat", 10, 70, 80, 99.5) for id in IDS]))
    assert "6 of 6 lie outside of their image, and all numbers lie within 0..100. If they are percents" in small
    assert notices_of("boxes", csv_of(tmp_path / "b.csv", GOOD), catalogue_of(size=(100, 110))) == []


def test_width_and_height_instead_of_a_corner(tmp_path: Path) -> None:
    rows = [(id, "cat", 50, 20, 30, 40) for id in IDS]
    message = refused("boxes", csv_of(tmp_path / "b.csv", rows))
    assert "6 of 6 boxes have x2 <= x1 or y2 <= y1, and all fit as x, y, width, height. Remedy: write x2" in message
    header = "image,class,x,y,width,height"
    assert "This is a table of x, y, width, height" in refused("boxes", csv_of(tmp_path / "b.csv", rows, header))


def test_corners_in_the_other_order(tmp_path: Path) -> None:
    message = refused("boxes", csv_of(tmp_path / "b.csv", [(id, name, r, b, x, y) for id, name, x, y, r, b in GOOD]))
    assert "6 of 6 boxes have their corners in the other order. Remedy: write the smaller x and y first" in message


def test_an_empty_class_name_says_how_to_write_none(tmp_path: Path) -> None:
    message = refused("boxes", csv_of(tmp_path / "b.csv", [*GOOD, ("q0", "", "", "", "", "")]))
    assert "line 8: unknown class ''" in message
    assert "An image without objects has the class 'background'" in message


def test_points_of_two_classes_on_one_pixel_are_counted(tmp_path: Path) -> None:
    rows = [("q0", "cat", 5, 5), ("q0", "dog", 5, 5), ("q1", "cat", 5, 5), ("q1", "cat", 5, 5), ("q2", "dog", 1, 1)]
    file = csv_of(tmp_path / "p.csv", rows, "image,class,x,y")
    texts = [
        n.text for n in notices_of("points", file, catalogue_of(("q0", "q1", "q2"))) if n.topic == "points_on_one_pixel"
    ]
    assert texts == [
        f"{file}: 1 images have points of several classes on one pixel (q0): the first of the file counts. See which "
        "class is there."
    ]


def test_numbers_of_larger_originals(tmp_path: Path) -> None:
    rows = [(id, "cat", 40, 80, 300, 240) for id in IDS]
    message = refused("boxes", csv_of(tmp_path / "b.csv", rows))
    assert "6 of 6 lie outside of their image, up to 3.8 times its side. They are of larger originals" in message
    halves = [(id, "cat", 30, 10, 130, 60) for id in IDS]
    message = refused("boxes", csv_of(tmp_path / "b.csv", halves))
    assert "6 of 6 boxes reach beyond their image by more than 5% of its side" in message
    turned = [(id, "cat", 10, 70, 40, 90) for id in IDS]
    assert "all fit with x and y exchanged" in refused(
        "boxes", csv_of(tmp_path / "b.csv", [*turned, ("q0", "cat", 1, 1, 2, 94)]), catalogue_of(size=(64, 120))
    )


def test_a_box_that_is_clipped_by_little_is_counted(tmp_path: Path) -> None:
    rows = csv_of(tmp_path / "b.csv", [("q0", "cat", -4, 5, 60, 50), *GOOD])
    (notice,) = notices_of("boxes", rows)
    assert (notice.topic, notice.count) == ("boxes_clipped", 1)
    assert "1 of 7 boxes reach beyond their image, by up to 4 pixels" in notice.text
    assert "b.csv line 2 ('q0', 96 x 64): (-4, 5, 60, 50)" in notice.text
    found = supervision("boxes", rows, "q0").boxes
    assert found is not None
    assert found[0].tolist() == [0, 5, 60, 50]
    mostly = refused("boxes", csv_of(tmp_path / "b.csv", [("q0", "cat", -40, 5, 30, 50), *GOOD]))
    assert "line 2: expected a box within an image of 96 x 64, found (-40, 5, 30, 50)" in mostly


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400"])
def test_numbers_that_are_none(tmp_path: Path, number: str) -> None:
    message = refused("boxes", csv_of(tmp_path / "b.csv", [*GOOD, ("q0", "cat", number, 5, 60, 50)]))
    assert "line 8: expected finite numbers, found (" in message
    message = refused("points", csv_of(tmp_path / "p.csv", [("q0", "cat", 3, number)], "image,class,x,y"))
    assert "line 2: expected finite numbers, found x=3, y=" in message


def test_all_problems_of_the_file_are_said_at_once(tmp_path: Path) -> None:
    ids = [f"i{k}" for k in range(200)]
    rows = [(id, "cat", 10, 5, 60, 50) for id in ids]
    rows[3], rows[190] = ("i3", "cat", 60, 5, 10, 50), ("i190", "cow", 10, 5, 60, 50)
    message = refused("boxes", csv_of(tmp_path / "b.csv", rows), catalogue_of(ids))
    assert "line 5: expected x1 < x2" in message
    assert "line 192: unknown class 'cow'" in message


def test_the_stated_size_is_checked(tmp_path: Path) -> None:
    for id in IDS:
        xml_of(tmp_path / "xml", id, [("cat", (41, 21, 300, 190)), ("dog", (5, 5, 30, 30))], (384, 256))
    message = refused("boxes", tmp_path / "xml")
    assert "6 of 6 are of images of another size" in message
    assert "q0.xml is of an image of 384 x 256, this one has 96 x 64" in message
    assert "expected a box within" not in message
    for id in IDS:
        xml_of(tmp_path / "xml", id, [("cat", (5, 5, 30, 30)), ("dog", (5, 5, 30, 30))], (64, 96))
    message = refused("boxes", tmp_path / "xml")
    assert "Width and height are exchanged" in message
    assert "whose boxes fit, exchange the two numbers in the file" in message
    for id, size in zip(IDS, [(0, 0), None, (96, 64)] * 2, strict=True):
        xml_of(tmp_path / "xml", id, [("cat", (5, 5, 30, 30)), ("dog", (5, 5, 30, 30))], size)
    assert notices_of("boxes", tmp_path / "xml") == []
    coco = coco_of(tmp_path / "b.json", {id: [("cat", (1, 2, 3, 4))] for id in IDS}, width=192, height=128)
    assert "'q0.png' is of an image of 192 x 128, this one has 96 x 64" in refused("boxes", coco)
    rows = csv_of(
        tmp_path / "b.csv",
        [(f"{id}.png", 192, 128, "cat", 1, 2, 30, 40) for id in IDS],
        "filename,width,height,class,xmin,ymin,xmax,ymax",
    )
    assert "b.csv line 2 is of an image of 192 x 128" in refused("boxes", rows)


def test_width_and_height_of_the_boxes_are_no_size_of_the_image(tmp_path: Path) -> None:
    """Sides as x2 - x1, and counted with the last pixel; a row without an object has none."""
    header = "image,class,x1,y1,x2,y2,width,height"
    boxes = [(id, name, x, y, r, b, r - x + k % 2, b - y) for k, (id, name, x, y, r, b) in enumerate(GOOD)]
    empty = ("q6", "background", "", "", "", "", "", "")
    ids = catalogue_of((*IDS, "q6"))
    assert notices_of("boxes", csv_of(tmp_path / "b.csv", [*boxes, empty], header), ids) == []
    found = supervision("boxes", tmp_path / "b.csv", "q1", ids).boxes
    assert found is not None
    assert found.tolist() == [[10, 5, 60, 50]]
    other = (*boxes[0][:6], 192, 128)
    message = refused("boxes", csv_of(tmp_path / "b.csv", [*boxes[1:], other], header))
    assert "b.csv line 2 is of an image of 51 x 45, this one has 96 x 64" in message
    assert "If columns width, height are not of the images, leave them out or rename them." in message


def test_names_of_classes_that_differ_in_little_are_refused(tmp_path: Path) -> None:
    for k, id in enumerate(IDS):
        xml_of(tmp_path / "xml", id, [("Cat" if k % 2 else "doggy", (5, 5, 30, 30))], (96, 64))
    message = refused("boxes", tmp_path / "xml")
    assert "unknown class 'Cat' (3 objects). Did you mean 'cat'?" in message
    assert "unknown class 'doggy' (3 objects). Did you mean 'dog'?" in message
    boxes = {id: [("traffic_light", (1, 2, 30, 40)), ("cat", (1, 2, 3, 4))] for id in IDS}
    message = refused("boxes", coco_of(tmp_path / "b.json", boxes), catalogue_of(classes=["cat", "traffic light"]))
    assert "unknown class 'traffic_light' (6 objects). Did you mean 'traffic light'?" in message


def test_other_classes_stay_unlabelled_and_are_counted(tmp_path: Path) -> None:
    boxes = {id: [("tractor", (1, 2, 30, 40)), ("cat", (40, 2, 30, 40)), ("dog", (1, 50, 9, 9))] for id in IDS}
    file = coco_of(tmp_path / "b.json", boxes)
    (notice,) = notices_of("boxes", file)
    assert (notice.topic, notice.count) == ("unknown_classes", 6)
    assert "6 objects of 1 classes that the catalogue does not have stay unlabelled: 'tractor' (6)" in notice.text
    found = supervision("boxes", file, "q0")
    assert found.box_classes is not None
    assert found.box_classes.tolist() == [1, 2]
    assert found.seeds[5, 5] == UNLABELLED
    none = {id: [("tractor", (1, 2, 30, 40)), ("barn", (40, 2, 30, 40))] for id in IDS}
    message = refused("boxes", coco_of(tmp_path / "b.json", none))
    assert "no object has a class of the catalogue (cat, dog): found 'barn' (6), 'tractor' (6)" in message


def test_classes_of_voc_that_are_not_kept_are_no_news(tmp_path: Path) -> None:
    for id in IDS:
        xml_of(tmp_path / "xml", id, [("sofa", (5, 5, 30, 30)), ("chair", (5, 5, 30, 30))], (96, 64))
    assert notices_of("boxes", tmp_path / "xml") == []


def test_crowds_have_no_class_and_are_no_background(tmp_path: Path) -> None:
    file = coco_of(tmp_path / "b.json", {id: [("cat", (1, 2, 30, 40)), ("dog", (50, 2, 30, 40))] for id in IDS})
    content = json.loads(file.read_text())
    content["annotations"][0]["iscrowd"] = 1
    file.write_text(json.dumps(content))
    found = supervision("boxes", file, "q0")
    assert found.box_classes is not None
    assert found.box_classes.tolist() == [2]
    assert found.seeds[10, 10] == UNLABELLED


def test_one_id_of_two_images_or_categories_of_coco_is_refused(tmp_path: Path) -> None:
    file = coco_of(tmp_path / "b.json", {id: [("cat", (1, 2, 30, 40)), ("dog", (50, 2, 30, 40))] for id in IDS})
    content = json.loads(file.read_text())
    content["images"].append(content["images"][0])  # the same image twice means one
    file.write_text(json.dumps(content))
    assert notices_of("boxes", file) == []
    for key, name, first, second, what in (
        ("images", "file_name", "q0.png", "q1.png", "image"),
        ("categories", "name", "cat", "dog", "category"),
    ):
        wrong = json.loads(file.read_text())
        items = {item[name]: item for item in wrong[key]}
        items[second]["id"] = number = items[first]["id"]
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        message = refused("boxes", tmp_path / "wrong.json")
        assert f"expected one {what} of each id, found id {number} of '{first}' and of '{second}'" in message
        assert "Remedy: give each an id of its own" in message


def test_an_image_of_coco_without_annotations_has_no_object(tmp_path: Path) -> None:
    boxes = {id: [("cat", (1, 2, 30, 40)), ("dog", (50, 2, 30, 40))] if id != "q3" else [] for id in IDS}
    file = coco_of(tmp_path / "b.json", boxes)
    assert (supervision("boxes", file, "q3").seeds == 0).all()
    (notice,) = notices_of("boxes", file, catalogue_of(tags=dict.fromkeys(IDS, (1, 2))))
    assert (notice.topic, notice.count) == ("tagged_without_annotation", 1)
    assert "1 of 6 images with tags have a tag but no boxes of a class: cat (1), dog (1); such as q3" in notice.text


def test_tags_and_annotations_are_compared(tmp_path: Path) -> None:
    rows = csv_of(tmp_path / "p.csv", [(id, "cat", 4, 5) for id in IDS], "image,class,x,y")
    lacking, surplus = notices_of("points", rows, catalogue_of(tags={id: (2,) if id == "q0" else (1, 2) for id in IDS}))
    assert lacking.count == 6
    assert "dog (6); such as q0, q1, q2 and 3 more. No image has points of dog." in lacking.text
    assert (surplus.topic, surplus.count) == ("annotated_without_tag", 1)


@pytest.mark.parametrize("name", ["images\\q0.png", "C:\\photos\\q0.PNG", "/home/me/q0.png", "./images/q0.png", "q0"])
def test_paths_in_the_image_column(tmp_path: Path, name: str) -> None:
    rows = csv_of(tmp_path / "b.csv", [(name, *GOOD[0][1:]), *GOOD[1:]])
    assert notices_of("boxes", rows) == []


def test_composed_and_decomposed_letters_are_equal(tmp_path: Path) -> None:
    composed = normalize("NFC", "Früchte")
    one, other = catalogue_of([composed]), catalogue_of([normalize("NFD", composed)])
    for catalogue, form in ((one, "NFD"), (other, "NFC")):
        name = normalize(form, composed)  # type: ignore[arg-type]
        file = csv_of(tmp_path / "b.csv", [(f"{name}.png", "cat", 1, 2, 30, 40)])
        assert notices_of("boxes", file, catalogue) == []
        folder = tmp_path / form
        xml_of(folder, name, [("cat", (1, 2, 30, 40)), ("dog", (1, 2, 30, 40))], (96, 64))
        assert notices_of("boxes", folder, catalogue) == []


def test_the_same_file_name_in_two_folders_needs_its_folder(tmp_path: Path) -> None:
    entries = {
        f"{kind}__1": CatalogueImage(f"{kind}__1", f"images/{kind}/1.png", (64, 96)) for kind in ("cats", "dogs")
    }
    catalogue = Catalogue("mine", ("cat", "dog"), {"train": tuple(entries)}, entries)
    good = csv_of(tmp_path / "b.csv", [("cats/1.png", "cat", 1, 2, 30, 40), ("dogs\\1.png", "dog", 1, 2, 30, 40)])
    assert notices_of("boxes", good, catalogue) == []
    found = supervision("boxes", good, "dogs__1", catalogue)
    assert found.tags.tolist() == [False, True]
    message = refused("boxes", csv_of(tmp_path / "b.csv", [("1.png", "cat", 1, 2, 30, 40)]), catalogue)
    assert "found '1.png' (it may be any of cats__1, dogs__1: write its folder too)" in message


def test_unknown_images_are_named_once_with_the_nearest(tmp_path: Path) -> None:
    rows = [*GOOD, ("Q1.png", "cat", 1, 2, 3, 4), ("Q1.png", "dog", 1, 2, 3, 4)]
    message = refused("boxes", csv_of(tmp_path / "b.csv", rows))
    assert message.count("found 'Q1.png' (the nearest is 'q1')") == 1
    missing = refused("boxes", coco_of(tmp_path / "b.json", {id.upper(): [("cat", (1, 2, 3, 4))] for id in IDS}))
    assert "found none for 6 of them: q0" in missing
    assert "'Q0.png' (the nearest is 'q0')" in missing


def test_semicolons_and_the_headers_of_tools(tmp_path: Path) -> None:
    header = "Image;Label;X_Min;YMIN;xmax;ymax"
    file = tmp_path / "b.csv"
    file.write_text("\n".join([header, *(";".join(map(str, row)) for row in GOOD)]))
    assert notices_of("boxes", file) == []
    file.write_text("\n".join([header, "q0;cat;1,5;2;30;40"]))
    assert "expected a number of pixels as x1, found '1,5' Write a decimal point" in refused("boxes", file)
    both = csv_of(file, [("a", *row) for row in GOOD], "path,filename,class,x1,y1,x2,y2")
    assert "expected one column 'image', found 'path', 'filename'. Remedy: name it 'image'" in refused("boxes", both)


def test_points_far_outside_of_a_published_file_are_refused(tmp_path: Path) -> None:
    def content(scale: int) -> str:
        points = {id: {"main": [{"x": 30 * scale, "y": 20 * scale, "cls": 1, "rank": 1}]} for id in IDS}
        return json.dumps(points)

    (tmp_path / "p.json").write_text(content(1))
    assert notices_of("points", tmp_path / "p.json") == []
    (tmp_path / "p.json").write_text(content(5))
    assert "6 of 6 lie outside of their image, up to 1.6 times its side" in refused("points", tmp_path / "p.json")


def test_numbers_of_classes_of_published_points(tmp_path: Path) -> None:
    """As text and with decimals they are numbers; those of no class are counted, but for VOC's that are left out."""

    def file(*classes: object) -> Path:
        points = [{"x": 5 * k, "y": 5, "cls": class_, "rank": k} for k, class_ in enumerate(classes)]
        path = tmp_path / "p.json"
        path.write_text(json.dumps({id: {"main": points if id == "q1" else []} for id in IDS}))
        return path

    assert notices_of("points", file("1", " 2 ", 1.0, "2.0")) == []
    assert supervision("points", file("1", " 2 ", 1.0, "2.0"), "q1").seeds[5, [0, 5, 10, 15]].tolist() == [1, 2, 1, 2]
    (notice,) = notices_of("points", file(1, 7, "7", 0))
    assert (notice.topic, notice.count) == ("unknown_classes", 3)
    assert "3 points are left out, whose class (cls) the catalogue does not have: 7 (2), 0 (1)" in notice.text
    assert "It has 1 cat, 2 dog. Remedy: write the data set's own numbers" in notice.text
    voc = catalogue_of(mask_values=(8, 12))
    assert notices_of("points", file(8, 15, "3"), voc) == []
    assert [one.count for one in notices_of("points", file(8, 15, 21), voc)] == [1]
    for wrong in ("cat", 1.5, None, True):
        assert f"cls '{wrong}' in place of a whole number" in refused("points", file(wrong))


def test_boxes_are_no_points(tmp_path: Path) -> None:
    file = coco_of(tmp_path / "b.json", {id: [("cat", (1, 2, 30, 40))] for id in IDS})
    assert "expected points, found COCO's JSON (6 boxes). Remedy: write `kind: shapes`" in refused("points", file)


def test_rows_and_files_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    rows = csv_of(tmp_path / "b.csv", [*GOOD, ("q2", "background", "", "", "", "")])
    (notice,) = notices_of("boxes", rows)
    assert (notice.topic, notice.count) == ("background_and_boxes", 1)
    for id in IDS:
        xml_of(tmp_path / "xml", id, [("cat", (5, 5, 30, 30)), ("dog", (5, 5, 30, 30))], (96, 64))
    (tmp_path / "xml" / "q1.xml").write_bytes((tmp_path / "xml" / "q2.xml").read_bytes())
    (notice,) = notices_of("boxes", tmp_path / "xml")
    assert (notice.topic, notice.count) == ("annotations_of_another_image", 1)
    assert "q1.xml is of 'q2.png'" in notice.text


def test_a_dry_run_concludes_nothing_from_few_images(tmp_path: Path) -> None:
    for id in IDS:
        xml_of(tmp_path / "xml", id, [("tractor", (5, 5, 30, 30))], (96, 64))
    assert "no object has a class" in refused("boxes", tmp_path / "xml")
    (notice,) = notices_of("boxes", tmp_path / "xml", catalogue_of(limit=6))
    assert notice.topic == "unknown_classes"


def test_class_names_in_other_unicode(tmp_path: Path) -> None:
    rows = csv_of(tmp_path / "b.csv", [(id, normalize("NFD", "Füchse"), 1, 2, 30, 40) for id in IDS])
    assert notices_of("boxes", rows, catalogue_of(classes=[normalize("NFC", "Füchse")])) == []
