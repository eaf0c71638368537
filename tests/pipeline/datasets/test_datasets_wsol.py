"""Data sets with boxes: CUB-200-2011, ILSVRC by folders and XML, wsolevaluation's lists; a thousand classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from pipeline.annotations.build import annotate_catalogue
from pipeline.binders.common import header, require_mask_classes
from pipeline.binders.evaluate_boxes import true_boxes
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.storage.stores import CamStore, SupervisionStore
from tests.helpers.wsol_folders import picture, write_cub, write_ilsvrc, write_lists, write_xml


def make(
    reader: str, tmp_path: Path, root: Path, bad: str = "stop", **options: object
) -> tuple[Catalogue, GroundTruth]:
    places = tmp_path / "c" / "data", tmp_path / "g" / "data"
    catalogue = make_catalogue(reader, *places, {"root": str(root), **options}, on_bad_image=bad)  # type: ignore[arg-type]
    return Catalogue.load(places[0]), GroundTruth(catalogue, places[1])


def message_of(reader: str, tmp_path: Path, root: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        make(reader, tmp_path, root, **options)
    return str(caught.value)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("below", ["", "CUB_200_2011"])
def test_cub(tmp_path: Path, below: str) -> None:
    write_cub(tmp_path / "cub" / below)
    catalogue, truth = make("cub", tmp_path, tmp_path / "cub")
    assert catalogue.class_names == ("Bird_1", "Bird_2", "Bird_3")
    assert [len(catalogue.ids(split)) for split in ("train", "test")] == [8, 4]
    assert catalogue.entry("Bird_0004").tags == (2,)
    assert truth.boxes("Bird_0004").tolist() == [[9, 8, 33, 36]]  # type: ignore[union-attr]
    assert catalogue.image("Bird_0004")[20, 20].tolist()[2] > 200
    with pytest.raises(DataError, match="no ground-truth mask"):
        truth.mask("Bird_0004")
    assert truth.instances("Bird_0004") is None


def test_everything_wrong_with_cub_is_said_together(tmp_path: Path) -> None:
    folder = write_cub(tmp_path / "cub")
    change(folder / "image_class_labels.txt", "2 2\n", "2 9\n")
    change(folder / "bounding_boxes.txt", "3 7.0", "3 x")
    change(folder / "bounding_boxes.txt", "5 9.0 8.0 24.0", "5 90.0 8.0 24.0")
    change(folder / "bounding_boxes.txt", "6 10.0 8.0 24.0", "6 10.0 8.0 0")
    change(folder / "train_test_split.txt", "7 1\n", "")
    change(folder / "images.txt", "12 ", "13 ")
    (folder / "images/001.Bird_1/Bird_0000.jpg").write_bytes(b"")
    message = message_of("cub", tmp_path, folder)
    for expected in (
        "image_class_labels.txt line 2: expected a class 1..3, found '9'",
        "bounding_boxes.txt line 3: expected a box: left, top, width, height, found 'x 8.0 24.0 28.0'",
        "images.txt line 5: expected boxes (left, top, right, bottom) within 48 x 64 (H x W), found 90, 8, 114, 36",
        "images.txt line 6: expected boxes (left, top, right, bottom) within 48 x 64 (H x W), found 10, 8, 10, 36",
        "train_test_split.txt: expected 1 (training) or 0 (test), found no line of image 7",
        "bounding_boxes.txt line 12: expected a number of",
        "bounding_boxes.txt: expected a box: left, top, width, height, found no line of image 13",
        "Bird_0000.jpg: expected an image file, found an empty file",
    ):
        assert expected in message, expected
    catalogue, _ = make("cub", tmp_path, folder, bad="skip")
    assert sorted(catalogue.left_out) == sorted(
        [f"Bird_{k:04d}" for k in (0, 1, 2, 4, 5, 6, 11)] + ["number 12"]
    )  # fmt: skip


def test_lists_of_cub_that_are_missing_or_out_of_order(tmp_path: Path) -> None:
    assert "expected the folder of CUB-200-2011" in message_of("cub", tmp_path, tmp_path)
    folder = write_cub(tmp_path / "cub")
    change(folder / "classes.txt", "2 002", "4 002")
    assert "classes.txt line 2: expected '2 NAME', found '4 002.Bird_2'" in message_of("cub", tmp_path, folder)
    (folder / "bounding_boxes.txt").unlink()
    change(folder / "classes.txt", "4 002", "2 002")
    assert "bounding_boxes.txt: expected a list" in message_of("cub", tmp_path, folder)


DEVKIT: dict[str, Any] = {"images": "Data/CLS-LOC", "annotations": "Annotations/CLS-LOC"}


def test_ilsvrc_by_folders_and_xml(tmp_path: Path) -> None:
    folder = write_ilsvrc(tmp_path / "ilsvrc")
    catalogue, truth = make("ilsvrc", tmp_path, folder, **DEVKIT)
    assert catalogue.class_names == ("n01440764", "n01443537")
    assert [catalogue.entry(id).tags for id in catalogue.ids("train")] == [(1,), (1,), (2,), (2,)]
    assert [catalogue.entry(id).tags for id in catalogue.ids("val")] == [(2,), (1,)]
    assert truth.boxes("ILSVRC2012_val_00000002").tolist() == [[2, 2, 20, 20], [40, 10, 60, 40]]  # type: ignore[union-attr]
    assert truth.boxes("n01440764_0") is None
    assert catalogue.image("n01440764_0").shape == (48, 64, 3)
    named, _ = make("ilsvrc", tmp_path, folder, classes="LOC_synset_mapping.txt", **DEVKIT)
    assert named.class_names == ("n01440764 tench", "n01443537 goldfish")


def test_everything_wrong_with_ilsvrc_is_said_together(tmp_path: Path) -> None:
    folder = write_ilsvrc(tmp_path / "ilsvrc")
    images, xml = folder / "Data/CLS-LOC", folder / "Annotations/CLS-LOC/val"
    write_xml(xml / "ILSVRC2012_val_00000001.xml", "n09999999", [(1, 1, 9, 9)])
    for number in (3, 4, 5):
        picture(images / "val" / f"ILSVRC2012_val_0000000{number}.JPEG", 0, [])
    (xml / "ILSVRC2012_val_00000004.xml").write_text("<annotation>")
    write_xml(xml / "ILSVRC2012_val_00000005.xml", "n01443537", [(70, 1, 90, 9)])
    (images / "train/n01440764/n01440764_0.JPEG").write_text("no image")
    message = message_of("ilsvrc", tmp_path, folder, **DEVKIT)
    for expected in (
        "val_00000001.JPEG: expected a known class, found 'n09999999'",
        "val_00000003.JPEG: expected one class, found no class folder and no",
        "val_00000004.xml: expected a VOC annotation XML, found",
        "expected boxes (left, top, right, bottom) within 48 x 64 (H x W), found 70, 1, 90, 9",
        "n01440764_0.JPEG: expected an image file, found a file that is no image",
    ):
        assert expected in message, expected
    with pytest.raises(ConfigurationError, match="annotations or metadata, found both"):
        make("ilsvrc", tmp_path, folder, metadata="metadata", **DEVKIT)
    message = message_of("ilsvrc", tmp_path, folder)
    assert "Set `root` and `images`" in message or "splits" in message


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    folder, store = write_ilsvrc(tmp_path / "ilsvrc"), tmp_path / "store"
    there = folder / "Data/CLS-LOC/train/n01443537"
    there.rename(store)
    there.symlink_to(store)
    (store / "loop").symlink_to(store)
    catalogue, _ = make("ilsvrc", tmp_path, folder, **DEVKIT)
    assert catalogue.class_names == ("n01440764", "n01443537")
    assert [catalogue.entry(id).tags for id in catalogue.ids("train")] == [(1,), (1,), (2,), (2,)]
    assert catalogue.entry("n01443537_0").image == "Data/CLS-LOC/train/n01443537/n01443537_0.JPEG"


def test_images_that_share_a_name_are_left_out_one_by_one(tmp_path: Path) -> None:
    for label, wnid in enumerate(("cat", "dog", "zebra")):
        picture(tmp_path / "ilsvrc" / "train" / wnid / "0.jpg", label, [])
    (tmp_path / "ilsvrc" / "classes.txt").write_text("cat\ndog\n")
    options: dict[str, Any] = {"splits": {"train": "train"}, "classes": "classes.txt"}
    catalogue, _ = make("ilsvrc", tmp_path, tmp_path / "ilsvrc", bad="skip", **options)
    assert list(catalogue.entries) == ["train_cat_0", "train_dog_0"]
    assert list(catalogue.left_out) == ["train_zebra_0"]


LISTS: dict[str, Any] = {"splits": {"train": "train", "test": "test"}, "metadata": "metadata"}


def test_lists_of_wsolevaluation(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    catalogue, truth = make("ilsvrc", tmp_path, folder, **LISTS)
    assert catalogue.class_names == ("0", "1", "2")
    assert catalogue.ids("test") == ("test_2_0", "test_0_0"), "files share the name 0.jpeg"
    assert catalogue.entry("test_2_0").tags == (3,)
    assert truth.boxes("test_2_0").tolist() == [[4, 6, 30, 30], [31, 2, 49, 20]]  # type: ignore[union-attr]
    classes, boxes = true_boxes(catalogue, truth, "test_2_0")
    assert classes.tolist() == [3, 3]
    assert boxes.shape == (2, 4)


def test_everything_wrong_with_the_lists_is_said_together(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    test = folder / "metadata/test"
    change(test / "class_labels.txt", "test/2/0.jpeg,2\n", "")
    change(test / "localization.txt", "test/0/0.jpeg,4,6,30,30", "test/2/0.jpeg,4,6,30")
    change(test / "image_sizes.txt", "test/0/0.jpeg,50,40", "test/0/0.jpeg,500,400")
    message = message_of("ilsvrc", tmp_path, folder, **LISTS)
    for expected in (
        "class_labels.txt: expected a class number from 0 for test/2/0.jpeg, found no line",
        "localization.txt line 3: expected path,x0,y0,x1,y1, found '4,6,30'",
        "localization.txt: expected a box of test/0/0.jpeg, found no line",
        "image_ids.txt line 2: expected an image of the listed size (400, 500) (H x W), found 40 x 50",
    ):
        assert expected in message, expected
    assert "metadata/tset: expected a folder" in message_of(
        "ilsvrc", tmp_path, folder, splits={"test": "tset"}, metadata="metadata"
    )


def test_what_is_wrong_with_the_lists_leaves_out_the_image_that_it_is_of(tmp_path: Path) -> None:
    """Files share the name 0.jpeg: 2 has no label, 1 has two lines of it, and 0 of the training split is good."""
    folder = write_lists(tmp_path / "lists")
    train = folder / "metadata/train"
    change(train / "class_labels.txt", "train/2/0.jpeg,2\n", "train/2/0.jpeg,two\ntrain/1/0.jpeg,1\n")
    catalogue, _ = make("ilsvrc", tmp_path, folder, bad="skip", **LISTS)
    assert catalogue.ids("train") == ("train_0_0",)
    assert list(catalogue.left_out) == ["train_1_0", "train_2_0"]


@pytest.mark.parametrize("path", ["../secret.jpg", "a/../../secret.jpg", "{root}/secret.jpg"])
@pytest.mark.parametrize("reader", ["ilsvrc", "cub"])
def test_a_path_of_a_list_that_leads_elsewhere_is_not_followed(tmp_path: Path, reader: str, path: str) -> None:
    picture(tmp_path / "secret.jpg", 0, [])
    path = path.format(root=tmp_path)
    if reader == "cub":
        folder, options = write_cub(tmp_path / "data"), {}
        change(folder / "images.txt", "1 001.Bird_1/Bird_0000.jpg", f"1 {path}")
    else:
        folder, options = write_lists(tmp_path / "data"), LISTS
        for name in ("image_ids.txt", "class_labels.txt"):
            change(folder / "metadata/train" / name, "train/0/0.jpeg", path)
    message = message_of(reader, tmp_path, folder, **options)
    assert "1 problem with 1 image:" in message
    assert f"line 1: expected a path below the folder of images, without '..', found '{path}'" in message
    assert "secret" not in make(reader, tmp_path, folder, bad="skip", **options)[0].entries


def test_a_number_of_cub_that_stands_twice_leaves_out_its_image(tmp_path: Path) -> None:
    folder = write_cub(tmp_path / "cub")
    change(folder / "image_class_labels.txt", "2 2\n", "2 2\n2 3\n")
    catalogue, _ = make("cub", tmp_path, folder, bad="skip")
    assert list(catalogue.left_out) == ["Bird_0001"]


def test_a_thousand_classes_without_masks(tmp_path: Path) -> None:
    """Tags, supervision and CAMs of class 1000; what would write a mask is refused."""
    folder = write_lists(tmp_path / "lists", classes=1000)
    catalogue, truth = make("ilsvrc", tmp_path, folder, **LISTS)
    assert catalogue.num_classes == 1000
    ids = catalogue.ids("test")
    assert catalogue.entry(ids[0]).tags == (1000,)
    found = [item for _, item in annotate_catalogue("tags", catalogue, truth, ids, {})]
    writer = SupervisionStore.create(tmp_path / "tags", header(catalogue, ids))
    writer.write(0, found)
    writer.finish()
    tags = SupervisionStore(tmp_path / "tags")
    assert np.flatnonzero(tags.tags(ids[0])).tolist() == [999]
    assert (tags[ids[0]].seeds == 254).all()
    assert CamStore.create(tmp_path / "cams", header(catalogue, ids), [(1000,), (1,)]).attributes["keys"] == [
        [1000],
        [1],
    ]
    with pytest.raises(ConfigurationError, match="at most 253 classes; data 'data' has 1000"):
        require_mask_classes(catalogue, "make_pseudo_masks.x")


def test_more_classes_than_a_mask_can_hold_are_refused_where_there_are_masks(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 6)).save(tmp_path / name / "a.png")
    names = [f"c{k}" for k in range(254)]
    with pytest.raises(ConfigurationError, match="1 to 253 classes, which is what masks can hold, found 254"):
        make("folder", tmp_path, tmp_path, tags=None, masks="masks", classes=names, val_fraction=0.0)
