"""COCO as tools and people write it: what is taken, what is counted and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.annotations.build import annotate_catalogue
from tests.helpers.coco_field import CATEGORIES, LEAF, REGIONS, entry, make, refused, region, write
from tests.helpers.coco_folder import HEIGHT, WIDTH, runs, square

# Crowds


def test_a_file_of_crowds_alone_is_told_and_painted_if_asked(tmp_path: Path) -> None:
    crowds = [region(1, 1, runs(2, 2, 8, 8), iscrowd=1), region(2, 2, runs(4, 0, 10, 10), iscrowd=True)]
    write(tmp_path, annotations=crowds)
    _, truth, notices = make(tmp_path)
    assert set(np.unique(truth.mask("a"))) == {0, 255}
    assert "All 2 annotations are crowds" in notices["all_annotations_crowd"]
    assert "`crowd: paint`" in notices["all_annotations_crowd"]
    _, truth, notices = make(tmp_path, crowd="paint")
    assert set(np.unique(truth.mask("a"))) == {0, LEAF}
    assert notices == {}


def test_a_class_of_crowds_and_many_crowds_are_told(tmp_path: Path) -> None:
    write(tmp_path, annotations=[REGIONS[0], region(2, 2, runs(4, 0, 10, 10), iscrowd="1")])
    assert "1 of 2 classes are crowds (iscrowd 1): stone" in make(tmp_path)[2]["class_all_crowd"]
    write(tmp_path, annotations=[*REGIONS, region(2, 2, runs(12, 0, 14, 10), iscrowd=1)])
    assert "1 of 3 annotations are crowds" in make(tmp_path)[2]["many_crowds"]
    assert "become background" in make(tmp_path, crowd="skip")[2]["many_crowds"]
    write(tmp_path, annotations=[*REGIONS, *REGIONS * 5, region(2, 2, runs(12, 0, 14, 10), iscrowd=1)])
    assert make(tmp_path)[2] == {}
    write(tmp_path, annotations=[*REGIONS, region(1, 1, square(0, 0, 4, 4), iscrowd="no")])
    assert "expected iscrowd 0 or 1, found iscrowd no" in refused(tmp_path)


# More objects than 8 bits hold


@pytest.mark.parametrize("count", [254, 255, 256, 300])
def test_every_object_of_a_full_image_has_a_number(tmp_path: Path, count: int) -> None:
    places = [(2 * (k % 20), 2 * (k // 20)) for k in range(count)]
    objects = [region(1, 1 + k % 2, square(x, y, x + 2, y + 2)) for k, (x, y) in enumerate(places)]
    many = [entry(1, "a.png", height=40, width=40), entry(2, "b.png")]
    write(tmp_path, many, [*objects, REGIONS[1]])
    Image.new("RGB", (40, 40)).save(tmp_path / "images" / "a.png")
    catalogue, truth, _ = make(tmp_path)
    instances = truth.instances("a")
    assert instances is not None
    assert len(np.unique(instances[instances > 0])) == count
    assert 255 not in instances
    with Image.open(tmp_path / "out" / "truth" / "instances" / "a.png") as picture:
        assert picture.mode == ("L" if count <= 254 else "I;16")
    [(_, boxes)] = annotate_catalogue("boxes", catalogue, truth, ["a"], {"min_area": 1})
    assert boxes.boxes is not None
    assert len(boxes.boxes) == count
    [(_, points)] = annotate_catalogue("points", catalogue, truth, ["a"], {"min_area": 1})
    assert int((points.seeds < 200).sum()) >= count


def test_void_stays_void_in_16_bits(tmp_path: Path) -> None:
    objects = [region(1, 1, square(k % 20, k % 10, k % 20 + 1, k % 10 + 1)) for k in range(260)]
    write(tmp_path, annotations=[*objects, region(1, 2, square(0, 0, 20, 10)), REGIONS[1]])
    _, truth, _ = make(tmp_path, classes=["leaf"])
    instances = truth.instances("a")
    assert instances is not None
    assert not instances.any()
    assert (truth.mask("a") == 255).all()


# EXIF and sizes


def turned(root: Path, orientation: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Photos whose stored pixels are (H, W) and a list of the turned size."""
    height, width = size
    write(root, [entry(1, "a.jpg", height=width, width=height)], [region(1, 1, square(0, 0, 5, 4))], files=())
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.new("RGB", (width, height), (90, 90, 90))
    (root / "images").mkdir()
    picture.save(root / "images" / "a.jpg", exif=exif)


def test_a_turned_size_names_exif_and_the_option(tmp_path: Path) -> None:
    turned(tmp_path, 6)
    message = refused(tmp_path)
    assert message.startswith("1 problem with 1 image")
    assert "listed size (20, 10) (H x W), found 10 x 20: the image's EXIF orientation (6) is not applied" in message
    assert "set `upright: true`" in message
    catalogue, truth, _ = make(tmp_path, upright=True)
    assert catalogue.upright
    assert catalogue.size("a") == (20, 10)
    assert catalogue.image("a").shape == (20, 10, 3)
    assert int((truth.mask("a") == LEAF).sum()) == 20


def test_a_size_that_is_stored_names_the_option_too(tmp_path: Path) -> None:
    turned(tmp_path, 8)
    write(tmp_path, [entry(1, "a.jpg")], [region(1, 1, square(0, 0, 5, 4))], files=())
    assert make(tmp_path)[0].size("a") == (10, 20)
    assert "EXIF orientation (8) is applied. Set `upright: false`" in refused(tmp_path, upright=True)


def test_other_sizes_are_one_problem_each(tmp_path: Path) -> None:
    write(tmp_path, [entry(1, "a.png", height=WIDTH, width=HEIGHT), entry(2, "b.png", height=5)])
    message = refused(tmp_path)
    assert message.startswith("2 problems with 2 images")
    assert "found 10 x 20: height and width are interchanged" in message
    assert "listed size (5, 20) (H x W), found 10 x 20\n" in message
    (tmp_path / "images" / "a.png").write_bytes(b"no image")
    assert refused(tmp_path).startswith("2 problems with 2 images")


# Categories


def test_a_category_without_annotation_is_named_with_the_line(tmp_path: Path) -> None:
    first = {"id": 0, "name": "garden", "supercategory": "none"}
    write(tmp_path, categories=[first, *CATEGORIES])
    catalogue, _, notices = make(tmp_path)
    assert catalogue.class_names == ("garden", "leaf", "stone")
    assert notices == {
        "categories_without_annotation": (
            "Category has no annotation: 'garden'. `classes: [leaf, stone]` leaves it out."
        )
    }
    assert make(tmp_path, classes=["leaf", "stone"])[2] == {}


def test_a_category_of_the_background_is_named(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "_background_"}, *CATEGORIES]
    write(tmp_path, annotations=[*REGIONS, region(1, 0, square(10, 0, 20, 10))], categories=categories)
    assert "`classes: [leaf, stone]`" in make(tmp_path)[2]["background_category"]
    assert "background_category" not in make(tmp_path, classes=["leaf", "stone"])[2]


def test_categories_of_one_name(tmp_path: Path) -> None:
    write(tmp_path, categories=[{"id": 1, "name": "leaf"}, {"id": 2, "name": "leaf"}])
    assert "expected each category name once, found 'leaf' for the ids 1, 2" in refused(tmp_path)
    assert "`classes: [leaf]`" in refused(tmp_path)
    _, truth, _ = make(tmp_path, classes=["leaf"])
    assert truth.mask("b")[5, 5] == LEAF
    write(tmp_path, categories=[{"id": 1, "name": "leaf"}, {"id": 2, "name": "Leaf "}])
    assert "'leaf' and 'Leaf '" in make(tmp_path)[2]["categories_alike"]
    write(tmp_path, categories=[*CATEGORIES, {"id": 2, "name": "twig"}])
    assert "expected each category id once, found id 2 for 'stone' and for 'twig'" in refused(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"id": 1}, {"id": "x", "name": "leaf"}, {"id": 1.5, "name": "a"}, {"id": 1, "name": " "}, 3]
)
def test_categories_that_are_none(tmp_path: Path, wrong: Any) -> None:
    write(tmp_path, categories=[*CATEGORIES, wrong])
    assert "categories[2]: expected a whole number `id` and a `name`, found " in refused(tmp_path)


def test_categories_of_two_files(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, categories=[{"id": 1, "name": "leaf"}, {"id": 3, "name": "stone"}], annotations=[], name="val")
    message = refused(tmp_path, splits={"train": "default", "val": "val"})
    assert "2 differ, such as id 2: none here and stone there" in message
