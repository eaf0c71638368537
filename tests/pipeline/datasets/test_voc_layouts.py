"""VOC layouts that people have: other formats, classes of one's own, masks of colours, lists elsewhere."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from models.errors import ConfigurationError, DataError
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.datasets.labelmap import LabelMap
from pipeline.datasets.voc import VOC_CLASSES
from pipeline.pictures.palette import write_png
from pipeline.problems.notices import read_notices
from tests.helpers.voc_folder import CAT, DOG, make, write_devkit


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    return write_devkit(tmp_path)


OBJECT = "<object><name>{}</name><difficult>{}</difficult>{}</object>"
BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"


def write_xml(devkit: Path, id: str, *objects: tuple[str, int]) -> None:
    (devkit / "Annotations").mkdir(exist_ok=True)
    text = "".join(OBJECT.format(name, difficult, BOX) for name, difficult in objects)
    (devkit / "Annotations" / f"{id}.xml").write_text(f"<annotation>{text}</annotation>")


def topics(tmp_path: Path) -> dict[str, str]:
    return {notice.topic: notice.text for notice in read_notices(tmp_path / "c" / "voc")}


def test_images_and_masks_of_other_formats(devkit: Path, tmp_path: Path) -> None:
    images = devkit / "JPEGImages"
    for id, suffix in (("a", "png"), ("b", "JPG"), ("c", "jpeg")):
        (images / f"{id}.jpg").rename(images / f"{id}.{suffix}")
    (devkit / "SegmentationClass" / "a.png").rename(devkit / "SegmentationClass" / "a.PNG")
    Image.open(devkit / "SegmentationClass" / "b.png").save(devkit / "SegmentationClass" / "b.tif")
    (devkit / "SegmentationClass" / "b.png").unlink()
    (devkit / "ImageSets/Segmentation/train.txt").write_text("a.png\nb\n")
    catalogue, truth = make(tmp_path)
    assert [catalogue.entries[id].image[11:] for id in "abc"] == ["a.png", "b.JPG", "c.jpeg"]
    assert CAT in truth.mask("a")
    assert truth.mask("b")[1].tolist() == [CAT, CAT, DOG, DOG, 0, 0, 0, 0]


def test_classes_of_ones_own(devkit: Path, tmp_path: Path) -> None:
    names = [f"kind{k}" for k in range(1, 13)]
    for id, name in (("a", "kind8"), ("b", "kind12"), ("c", "kind8")):
        write_xml(devkit, id, (name, 0))
    catalogue, truth = make(tmp_path, names=names)
    assert (len(names), names[CAT - 1], names[DOG - 1]) == (12, "kind8", "kind12")
    assert catalogue.class_names == tuple(names)
    assert catalogue.entries["b"].tags == (12,)
    assert DOG in truth.mask("b")
    _, truth = make(tmp_path, names=names, classes=["kind12"])
    assert truth.mask("b")[1].tolist() == [255, 255, 1, 1, 0, 0, 0, 0]
    with pytest.raises(ConfigurationError, match=r"unknown class 'kind8'.*name all of them in `names`"):
        make(tmp_path, classes=["kind8"])


def test_names_in_another_order_than_the_masks_are_said_with_the_line_to_write(devkit: Path, tmp_path: Path) -> None:
    for id, values in {"a": (1,), "b": (1, 2), "c": (2,)}.items():
        mask = np.zeros((6, 8), np.uint8)
        for value in values:
            mask[:, 2 * value] = value
        Image.fromarray(mask).save(devkit / "SegmentationClass" / f"{id}.png")
        write_xml(devkit, id, *(("kiwi" if value == 1 else "lime", 0) for value in values))
    make(tmp_path, names=["lime", "kiwi"])
    assert "Remedy: `names: [kiwi, lime]` among the data set's options" in topics(tmp_path)["tags_and_masks_differ"]
    make(tmp_path, names=["kiwi", "lime"])
    assert "tags_and_masks_differ" not in topics(tmp_path)


def test_unknown_names_in_xml_are_told_once_with_counts(devkit: Path, tmp_path: Path) -> None:
    for id in "abc":
        write_xml(devkit, id, ("catt", 0), ("catt", 0), ("lorry", 0), ("dog", 0))
    with pytest.raises(DataError) as error:
        make(tmp_path)
    assert "found 'catt' 6 times (first in a.xml), 'lorry' 3 times (first in a.xml). Did you mean 'cat'?" in str(
        error.value
    )
    assert "name all of them in `names`" in str(error.value)


def test_an_image_of_difficult_objects_alone_is_told(devkit: Path, tmp_path: Path) -> None:
    for id, difficult in (("a", 1), ("b", 0), ("c", 0)):
        write_xml(devkit, id, ("cat", difficult))
    catalogue, _ = make(tmp_path)
    assert catalogue.entries["a"].tags == ()
    assert (
        "1 of 3 images have no tag because all their objects are marked as difficult (a; cat 1)"
        in (topics(tmp_path)["difficult_objects_only"])
    )


def test_lists_that_are_elsewhere_or_called_otherwise(devkit: Path, tmp_path: Path) -> None:
    lists = devkit / "ImageSets"
    (lists / "Segmentation").rename(lists / "Main")
    assert make(tmp_path)[0].ids("train") == ("a", "b")
    for name in ("train", "val"):
        (lists / "Main" / f"{name}.txt").unlink()
    with pytest.raises(ConfigurationError, match=r"expected a list 'train\.txt' with one id a line, found no list"):
        make(tmp_path)
    (lists / "Main" / "default.txt").write_text('"a"\nb.jpg\nc\n')
    with pytest.raises(ConfigurationError, match=r"Valid: default\. Set `splits`.*\{train: default\}"):
        make(tmp_path)
    assert make(tmp_path, splits={"train": "default"})[0].ids("train") == ("a", "b", "c")


def test_masks_of_no_image_are_told(devkit: Path, tmp_path: Path) -> None:
    masks = devkit / "SegmentationClass"
    Image.open(masks / "a.png").save(masks / "a_mask.png")
    make(tmp_path)
    assert "1 of 4 files in" in topics(tmp_path)["masks_without_image"]
    (masks / "a_mask.png").unlink()
    make(tmp_path)
    assert "masks_without_image" not in topics(tmp_path)


def test_another_years_folder(devkit: Path, tmp_path: Path) -> None:
    devkit.rename(devkit.with_name("VOC2007"))
    assert make(tmp_path)[0].root.endswith("VOC2007")


def test_upright_is_an_option_and_a_difference_in_size_names_it(devkit: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for id in "abc":
        Image.new("RGB", (6, 8), (90, 90, 90)).save(devkit / "JPEGImages" / f"{id}.jpg", exif=exif)
    shutil.copytree(devkit / "SegmentationClass", devkit / "SegmentationObject")
    with pytest.raises(DataError) as error:
        make(tmp_path)
    assert str(error.value).startswith("3 problems with 3 images")
    assert "found 6 x 8: the image's EXIF orientation (6) is not applied. Set `upright: true`" in str(error.value)
    catalogue, _ = make(tmp_path, upright=True)
    assert catalogue.image("a").shape == (6, 8, 3)
    assert "3 of 3 images carry an EXIF orientation" in topics(tmp_path)["exif_orientation"]
    with pytest.raises(DataError, match=r"SegmentationClass/a\.png: expected the size of its image") as error:
        make(tmp_path, sbd=str(devkit / "SegmentationClass"))
    assert ".partial" not in str(error.value)


@pytest.fixture
def coloured(devkit: Path) -> Path:
    """The masks as CVAT writes them, in the colours of a label map."""
    colours = {0: (0, 0, 0), CAT: (64, 0, 0), DOG: (64, 0, 128), 255: (224, 224, 192)}
    for path in (devkit / "SegmentationClass").iterdir():
        mask = np.asarray(Image.open(path))
        rgb = np.zeros((*mask.shape, 3), np.uint8)
        for value, colour in colours.items():
            rgb[mask == value] = colour
        Image.fromarray(rgb).save(path)
    return devkit


CVAT = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:64,0,0::\ndog:64,0,128::\n"


@pytest.mark.parametrize(
    "text",
    [
        CVAT,
        "name,r,g,b\ncat,64,0,0\ndog,64,0,128\n",
        "64 0 0\tcat\n64 0 128\tdog\n",
        "cat: [64, 0, 0]\ndog: [64, 0, 128]\n",
        '{"background": [0, 0, 0], "cat": [64, 0, 0], "dog": "#400080"}',
        '[{"name": "cat", "color": "#400000", "attributes": []}, {"name": "dog", "color": "#400080"}]',
        '{"label_map": {"0": "background", "2": "dog", "1": "cat"}, '
        '"segmentation_colors": [[0, 0, 0], [64, 0, 0], [64, 0, 128]]}',
    ],
)
def test_masks_of_colours_with_a_label_map(coloured: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    for id in "abc":
        write_xml(coloured, id, ("dog", 0))
    catalogue, truth = make(tmp_path, labelmap="labelmap.txt")
    assert catalogue.class_names == ("cat", "dog")
    assert catalogue.entries["a"].tags == (2,)
    assert truth.mask("b")[1].tolist() == [1, 1, 2, 2, 0, 0, 0, 0]
    assert (truth.mask("b")[0] == 255).all()
    _, truth = make(tmp_path, labelmap="labelmap.txt", classes=["dog"])
    assert truth.mask("b")[1].tolist() == [255, 255, 1, 1, 0, 0, 0, 0]


def test_colours_without_meaning_are_counted_with_the_nearest(coloured: Path, tmp_path: Path) -> None:
    (coloured / "labelmap.txt").write_text(CVAT.replace("64,0,128", "64,0,120"))
    with pytest.raises(DataError) as error:
        make(tmp_path, labelmap="labelmap.txt")
    found = "SegmentationClass/b.png: expected the colours of .*, found \\(64, 0, 128\\) in 10 pixels \\(nearest: dog"
    assert re.search(found, str(error.value))
    assert ".partial" not in str(error.value)
    assert str(error.value).startswith("2 problems with 2 images")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat:64,0\n", r"line 1: expected NAME:R,G,B"),
        ("cat:64,0,300\n", r"line 1: expected a colour of three whole numbers 0\.\.255"),
        ('{"cat": [0.5, 0.25, 0.75]}', r"'cat': expected a colour .* found \[0\.5, 0\.25, 0\.75\]\. Remedy: multiply"),
        ('{"cat": [true, 0, 0]}', r"'cat': expected a colour of three whole numbers 0\.\.255, found \[True, 0, 0\]"),
        ('{"cat": [64, 0]}', r"'cat': expected a colour of three whole numbers 0\.\.255, found \[64, 0\]"),
        ('{"cat": "123"}', r"'cat': expected a colour \[r, g, b\] or '#rrggbb', found '123'"),
        ("cat:64,0,0\ndog:64,0,0\n", r"line 2: expected each name and each colour once, found 'dog' \(64, 0, 0\)"),
        ("background:0,0,0\n", "found no class"),
        ("{", "expected JSON"),
        ("[1, 2]", "expected JSON"),
    ],
)
def test_a_label_map_that_is_none(coloured: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        make(tmp_path, labelmap="labelmap.txt")


def test_vocs_own_colours_whatever_the_order_of_the_palette(devkit: Path, tmp_path: Path) -> None:
    for path in (devkit / "SegmentationClass").iterdir():
        write_png(path, np.asarray(Image.open(path)))
        Image.open(path).convert("RGB").quantize(8).save(path)
    catalogue, truth = make(tmp_path, labelmap="voc")
    assert catalogue.class_names == VOC_CLASSES
    assert truth.mask("b")[1].tolist() == [CAT, CAT, DOG, DOG, 0, 0, 0, 0]
    with pytest.raises(ConfigurationError, match="labelmap or names, found both"):
        make(tmp_path, labelmap="voc", names=["cat"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200) | st.from_regex(r"([a-z]{1,3}[:,;][0-9]{1,4},[0-9]{1,3},[0-9]{1,3}:{0,2}\n){1,5}"))
def test_any_text_is_a_label_map_or_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.txt").write_text(text, encoding="utf-8")
    with suppress(DataError):
        assert LabelMap.read(tmp_path / "map.txt").names


def test_a_folder_with_masks_of_colours(coloured: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine"
    shutil.copytree(coloured / "JPEGImages", data / "images")
    shutil.copytree(coloured / "SegmentationClass", data / "masks")
    (data / "tags.csv").write_text("image,tags\na,cat\nb,cat;dog\nc,dog\n")
    (data / "labelmap.txt").write_text(CVAT + "lorry:9,9,9::\n")
    places, options = (tmp_path / "c" / "f", tmp_path / "g" / "f"), {"root": str(data), "masks": "masks"}
    with pytest.raises(DataError, match=r"Set `labelmap` in the reader's options .*here .*labelmap\.txt"):
        make_catalogue("folder", *places, options)
    for classes, expected in ((None, [1, 1, 2, 2]), (["dog", "cat"], [2, 2, 1, 1])):
        chosen = options | {"labelmap": "labelmap.txt"} | ({"classes": classes} if classes else {})
        catalogue = make_catalogue("folder", *places, chosen)
        assert catalogue.class_names == tuple(classes or ("cat", "dog", "lorry"))
        assert GroundTruth(catalogue, places[1]).mask("b")[1].tolist() == [*expected, 0, 0, 0, 0]
    with pytest.raises(ConfigurationError, match=r"no colour of class 'dgo'\. Did you mean 'dog'"):
        make_catalogue("folder", *places, options | {"labelmap": "labelmap.txt", "classes": ["cat", "dog", "dgo"]})
