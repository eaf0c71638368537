"""Masks for labelling tools: what was written, drawn again by each format's rules, is the mask that was given."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools.coco import COCO
from skimage.draw import disk, polygon

from models.errors import ConfigurationError, DataError
from models.structures import Mask
from pipeline.annotations.build import annotate_catalogue, check_annotations
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.inference.coco import coco_segments
from pipeline.inference.stored import StoredMasks
from pipeline.inference.tools import TOOLS
from pipeline.inference.tools.brush import packed
from pipeline.inference.tools.export import export_for_tool, write_for
from pipeline.inference.tools.images import USUAL, How, LabelledImage, Shapes, shapes_for
from pipeline.inference.tools.polygons import LEAST_IOU, outlines
from tests.helpers import made_book

CLASSES = ("cat", 'dog & "co" <x>', "bird")
EXACT = [("cvat", "masks"), ("labelme", "masks"), ("labelstudio", "masks"), ("coco", "masks")]
OUTLINED = [(tool, "polygons") for tool in TOOLS]


def scene(height: int = 61, width: int = 90) -> Mask:
    """A ring with a disk of another class in it, pieces that touch at a corner, one at the border, single pixels."""
    mask = np.zeros((height, width), np.uint8)
    mask[disk((28, 30), 20)] = 1
    mask[disk((28, 26), 11)] = 0
    mask[disk((28, 26), 5)] = 2
    mask[40:52, 60:70] = 3
    mask[52:61, 70:90] = 3
    mask[0:9, 80:90] = 2
    mask[3:5, 84:86] = 0
    mask[60, 0] = 1
    return mask


SCENES = {"ring": scene(), "one pixel": np.ones((1, 1), np.uint8), "nothing": np.zeros((4, 7), np.uint8)}
SCENES["tall"] = scene(90, 90)[:, :37]


def images() -> list[LabelledImage]:
    scores = [0.0, 0.5, 0.75, 0.25]
    return [
        LabelledImage(
            f"s{k} x", f"s{k} x.jpg", Path(f"photos/s{k} x.jpg"), mask.shape, coco_segments(mask, scores), 0.625
        )
        for k, mask in enumerate(SCENES.values())
    ]


def drawn(points: npt.ArrayLike, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels whose middle lies in a polygon of x, y."""
    corners = np.asarray(points, np.float64).reshape(-1, 2) - 0.5
    region = np.zeros(size, bool)
    region[polygon(corners[:, 1], corners[:, 0], size)] = True
    return region


def from_cvat(folder: Path) -> Iterator[tuple[str, Mask]]:
    tree = ElementTree.parse(folder / "annotations.xml").getroot()
    assert tree.findtext("version") == "1.1"
    assert [label.findtext("name") for label in tree.iter("label")] == list(CLASSES)
    for image in tree.iter("image"):
        mask = np.zeros((int(image.attrib["height"]), int(image.attrib["width"])), np.uint8)
        for shape in image:
            if shape.tag == "polygon":
                points = [point.split(",") for point in shape.attrib["points"].split(";")]
                region = drawn(np.array(points, np.float64), mask.shape)
            else:
                region = np.zeros(mask.shape, bool)
                left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
                runs = [int(run) for run in shape.attrib["rle"].split(", ")]
                values = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
                region[top : top + height, left : left + width] = values
            mask[region] = CLASSES.index(shape.attrib["label"]) + 1
        yield image.attrib["name"].removesuffix(".jpg"), mask


def from_labelme(folder: Path) -> Iterator[tuple[str, Mask]]:
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        assert (folder / content["imagePath"]).resolve() == Path(f"photos/{path.stem}.jpg").resolve()
        mask = np.zeros((content["imageHeight"], content["imageWidth"]), np.uint8)
        for shape in content["shapes"]:
            region = np.zeros(mask.shape, bool)
            if shape["shape_type"] == "polygon":
                region = drawn(shape["points"], mask.shape)
            else:
                (left, top), (right, bottom) = np.array(shape["points"], int)
                inside = np.array(Image.open(io.BytesIO(b64decode(shape["mask"]))))
                region[top : bottom + 1, left : right + 1] = inside.astype(bool)
            mask[region] = CLASSES.index(shape["label"]) + 1
        yield path.stem, mask


def from_label_studio(folder: Path) -> Iterator[tuple[str, Mask]]:
    view = ElementTree.parse(folder / "labelling_interface.xml").getroot()
    assert [label.attrib["value"] for label in view.iter("Label")] == list(CLASSES)
    for task in json.loads((folder / "label_studio.json").read_text()):
        prediction = task["predictions"][0]
        assert prediction["score"] == 0.625
        mask = None
        for result in prediction["result"]:
            size = result["original_height"], result["original_width"]
            mask = np.zeros(size, np.uint8) if mask is None else mask
            value, tag = result["value"], view.find(f"*[@name='{result['from_name']}']")
            assert tag is not None
            assert tag.tag.lower() == result["type"]
            if "rle" in value:
                region = unpacked(value["rle"]).reshape(*size, 4)[..., 3] > 0
            else:
                region = drawn(np.array(value["points"]) * np.array([size[1], size[0]]) / 100, size)
            mask[region] = CLASSES.index(value[result["type"]][0]) + 1
        name = unquote(task["data"]["image"]).rpartition("=")[2].removesuffix(".jpg")
        yield name, np.zeros((4, 7), np.uint8) if mask is None else mask


def unpacked(content: list[int]) -> npt.NDArray[np.uint8]:
    """Values of @thi.ng/rle-pack: read as its documentation says, also those that stand one by one."""
    bits = "".join(f"{byte:08b}" for byte in content)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        run = take(1)
        length = take(lengths[take(2)]) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    assert len(bits) - place < 8
    return np.array(values, np.uint8)


def from_coco(folder: Path) -> Iterator[tuple[str, Mask]]:
    coco = COCO(folder / "instances.json")
    for id, image in coco.imgs.items():
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.imgToAnns[id]:
            if isinstance(annotation["segmentation"], dict):
                region = coco.annToMask(annotation).astype(bool)
            else:
                region = np.any([drawn(points, mask.shape) for points in annotation["segmentation"]], axis=0)
            mask[region] = annotation["category_id"]
        yield image["file_name"].removesuffix(".jpg"), mask


def from_yolo(folder: Path) -> Iterator[tuple[str, Mask]]:
    content = yaml.safe_load((folder / "data.yaml").read_text())
    assert list(content["names"].values()) == list(CLASSES)
    names = [Path(line).stem for line in (folder / content["train"]).read_text().splitlines()]
    for name, image in zip(names, images(), strict=True):
        mask = np.zeros(image.size, np.uint8)
        for line in (folder / "labels" / "train" / f"{name}.txt").read_text().splitlines():
            number, *shares = map(float, line.split())
            points = np.array(shares).reshape(-1, 2) * np.array(mask.shape[::-1])
            mask[drawn(points, mask.shape)] = int(number) + 1
        yield name, mask


READ: dict[str, Callable[[Path], Iterator[tuple[str, Mask]]]] = {
    "cvat": from_cvat,
    "labelme": from_labelme,
    "labelstudio": from_label_studio,
    "coco": from_coco,
    "yolo": from_yolo,
}


def ious(one: Mask, other: Mask) -> dict[int, float]:
    return {c: ((one == c) & (other == c)).sum() / ((one == c) | (other == c)).sum() for c in np.unique([one, other])}


@pytest.mark.parametrize(("tool", "shapes"), [*EXACT, *OUTLINED])
def test_what_was_written_is_the_mask_again(
    tool: str, shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_for(tool, images(), tmp_path / "out", How(CLASSES, shapes))
    read = dict(READ[tool](tmp_path / "out"))
    for image, mask in zip(images(), SCENES.values(), strict=True):
        if shapes == "masks":
            np.testing.assert_array_equal(read[image.id], mask)
        assert min(ious(read[image.id], mask).values()) >= LEAST_IOU


@pytest.mark.parametrize(("tool", "shapes"), [*EXACT, *OUTLINED])
def test_the_readers_of_exports_give_the_mask_again(
    tool: str, shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_for(tool, images(), tmp_path / "out", How(CLASSES, shapes))
    file = as_people_save_it(tmp_path / "out", tool)
    options = {"file": str(file), "only": ["masks"], "brush": "areas", "unannotated": "background"}
    entries = {image.id: CatalogueImage(image.id, image.path.as_posix(), image.size) for image in images()}
    catalogue = Catalogue("photos", CLASSES, {"train": tuple(entries)}, entries)
    check_annotations("shapes", catalogue, list(entries), options)
    read = dict(annotate_catalogue("shapes", catalogue, None, list(entries), options))
    for image, mask in zip(images(), SCENES.values(), strict=True):
        if shapes == "masks":
            np.testing.assert_array_equal(read[image.id].seeds, mask)
        assert min(ious(read[image.id].seeds, mask).values()) >= LEAST_IOU


NAMES = ("plain", "two words", "Käse", "cat & dog", "c++", "50%25", "no#1", "a?b", "semi;colon", "deep/100% b")


@pytest.mark.parametrize("url", ["/data/local-files/?d=", "/data/local-files/?d=farm/", "https://host/photos/", ""])
def test_any_name_comes_back_from_label_studio(tmp_path: Path, url: str) -> None:
    """In an address & begins another value, # a place in a page, and + and % stand for others."""
    mask = np.zeros((4, 7), np.uint8)
    mask[1:3, 2:5] = 1
    segments = coco_segments(mask)
    made = [LabelledImage(f"i{k}", f"{name}.jpg", Path(name), mask.shape, segments) for k, name in enumerate(NAMES)]
    write_for("labelstudio", made, tmp_path / "out", How(CLASSES, "masks", url=url))
    assert [task["data"]["image"] for task in json.loads((tmp_path / "out" / "label_studio.json").read_text())][:2] == [
        f"{url}plain.jpg",
        f"{url}two%20words.jpg" if url else "two words.jpg",
    ]
    file = as_people_save_it(tmp_path / "out", "labelstudio")
    ids = [image.id for image in made]
    entries = {image.id: CatalogueImage(image.id, f"images/{image.name}", image.size) for image in made}
    options = {"file": str(file), "only": ["masks"], "brush": "areas"}
    catalogue = Catalogue("photos", CLASSES, {"train": tuple(ids)}, entries)
    assert check_annotations("shapes", catalogue, ids, options) == []
    for _, found in annotate_catalogue("shapes", catalogue, None, ids, options):
        np.testing.assert_array_equal(found.seeds, mask)


def as_people_save_it(folder: Path, tool: str) -> Path:
    """In Label Studio a prediction becomes an annotation when a person takes it over."""
    if tool != "labelstudio":
        return folder
    file = folder / "label_studio.json"
    tasks = json.loads(file.read_text())
    for task in tasks:
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
    file.write_text(json.dumps(tasks))
    return file


def test_images_in_folders_are_named_as_their_tools_look_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO's readers join the name to the folder of the images, LabelMe to the folder of the JSON."""
    monkeypatch.chdir(tmp_path)
    segments = coco_segments(np.ones((4, 7), np.uint8))
    image = LabelledImage("deep/s 1", "s 1.jpg", Path("photos/deep/s 1.jpg"), (4, 7), segments)
    for tool in ("coco", "labelme", "yolo"):
        write_for(tool, [image], tmp_path / tool, How(CLASSES, "polygons"))
    assert COCO(tmp_path / "coco" / "instances.json").imgs[1]["file_name"] == "deep/s 1.jpg"
    written = tmp_path / "labelme" / "deep" / "s 1.json"
    named = json.loads(written.read_text())["imagePath"]
    assert (written.parent / named).resolve() == (tmp_path / "photos" / "deep" / "s 1.jpg").resolve()
    assert (tmp_path / "yolo" / "train.txt").read_text() == "./images/train/deep/s 1.jpg\n"
    assert yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["task"] == "segment"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tolerance_of_zero_keeps_every_pixel(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_for(tool, images(), tmp_path / "out", How(CLASSES, "polygons", tolerance=0))
    read = dict(READ[tool](tmp_path / "out"))
    for image, mask in zip(images(), SCENES.values(), strict=True):
        np.testing.assert_array_equal(read[image.id], mask)


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.booleans()))
@settings(max_examples=60, deadline=None)
def test_any_region_is_exact_and_has_no_pixel_twice(region: npt.NDArray[np.bool_]) -> None:
    pieces = [drawn(points, region.shape) for polygons in outlines(region, 0) for points in polygons]
    np.testing.assert_array_equal(np.sum([np.zeros(region.shape, int), *pieces], axis=0), region)
    np.testing.assert_array_equal(unpacked(packed(region)).reshape(*region.shape, 4)[..., 0] > 0, region)


def test_pieces_with_holes_are_cut_and_others_are_not() -> None:
    assert [len(polygons) for polygons in outlines(scene() == 1, 1.0)] == [2, 1]
    round_one = np.hypot(*np.ogrid[-80:81, -80:81]) < 80
    exact, simple = (next(outlines(round_one, tolerance))[0] for tolerance in (0, 1.0))
    assert len(simple) < len(exact) / 3


def test_a_run_longer_than_the_longest_length_is_split() -> None:
    region = np.zeros((200, 300), bool)
    region[150:, 20:] = True
    np.testing.assert_array_equal(unpacked(packed(region)).reshape(200, 300, 4)[..., 1] > 0, region)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    made = made_book.book()
    made_book.make(made)
    return made


@pytest.mark.parametrize("name", ["masks/net", "supervision/pseudo"])
def test_stored_masks_of_a_book_are_exported(book: Any, name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    count, notices = export_for_tool(book, name, "coco", out)
    coco, stored = COCO(out / "instances.json"), StoredMasks.of(book, name)
    assert count == len(coco.imgs) == len(stored.store)
    assert [category["name"] for category in coco.cats.values()] == list(made_book.CLASSES)
    for (id, mask), image in zip(stored.masks(), coco.imgs.values(), strict=True):
        assert image["file_name"] == Path(stored.catalogue.entry(id).image).name
        read = np.zeros_like(mask)
        for annotation in coco.imgToAnns[image["id"]]:
            read[coco.annToMask(annotation) > 0] = annotation["category_id"]
            assert "score" not in annotation
        np.testing.assert_array_equal(read, np.where(mask >= 254, 0, mask))
    silent = sum(bool((mask >= 254).any()) for _, mask in stored.masks())
    assert [notice.count for notice in notices] == ([silent] if silent else [])


def test_ids_of_the_users_own_file_are_kept(book: Any, tmp_path: Path) -> None:
    stored = StoredMasks.of(book, "masks/net")
    listed = [
        {"id": 70 + k, "file_name": f"deep/{Path(stored.catalogue.entry(id).image).name}", "height": 40, "width": 60}
        for k, id in enumerate(stored.store.ids)
    ]
    categories = [{"id": 9, "name": "horse"}, *({"id": 40 - k, "name": n} for k, n in enumerate(made_book.CLASSES))]
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"images": listed, "categories": categories, "annotations": []}))
    export_for_tool(book, "masks/net", "coco", tmp_path / "out", coco_ids=mine, shapes="polygons")
    content = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert [image["id"] for image in content["images"]] == [image["id"] for image in listed]
    assert {annotation["category_id"] for annotation in content["annotations"]} <= {40, 39}
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == content["annotations"]


def test_what_cannot_be_exported_is_refused(book: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'masks/net'"):
        export_for_tool(book, "masks/nets", "cvat", tmp_path / "out")
    with pytest.raises(ConfigurationError, match="Did you mean 'cvat'"):
        export_for_tool(book, "masks/net", "cvt", tmp_path / "out")
    with pytest.raises(ConfigurationError, match="--as coco, found --as cvat"):
        export_for_tool(book, "masks/net", "cvat", tmp_path / "out", coco_ids=tmp_path / "x.json")
    with pytest.raises(ConfigurationError, match="polygons alone"):
        export_for_tool(book, "masks/net", "yolo", tmp_path / "out", shapes="masks")
    with pytest.raises(ConfigurationError, match="tolerance"):
        export_for_tool(book, "masks/net", "yolo", tmp_path / "out", tolerance=-1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="nothing is overwritten"):
        export_for_tool(book, "masks/net", "cvat", tmp_path / "full")


def test_every_tool_has_usual_shapes() -> None:
    assert list(USUAL) == list(TOOLS) == list(READ)
    assert shapes_for("labelme", None) == "polygons"
    assert shapes_for("labelme", "masks") == "masks"
