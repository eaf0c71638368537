from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.folder import folder
from pipeline.datasets.ground_truth import GroundTruth


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten images i0.jpg ... i9.jpg of 4 x 6 pixels, cat in the even ones and dog in every third."""
    (tmp_path / "images").mkdir()
    lines = ["image,tags"]
    for k in range(10):
        Image.new("RGB", (6, 4)).save(tmp_path / "images" / f"i{k}.jpg")
        names = ["cat"] * (k % 2 == 0) + ["dog"] * (k % 3 == 0)
        lines.append(f"i{k}.jpg,{';'.join(names) or 'background'}")
    (tmp_path / "tags.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def make(root: Path, **options: object) -> tuple[Catalogue, GroundTruth]:
    places = root / "c" / "own", root / "g" / "own"
    catalogue = make_catalogue("folder", *places, {"root": str(root), **options})
    return catalogue, GroundTruth(catalogue, places[1])


def make_skipping(root: Path, **options: object) -> tuple[Catalogue, GroundTruth]:
    places = root / "c" / "own", root / "g" / "own"
    catalogue = make_catalogue("folder", *places, {"root": str(root), **options}, on_bad_image="skip")
    return catalogue, GroundTruth(catalogue, places[1])


def problems(root: Path, **options: object) -> str:
    with pytest.raises(DataError) as error:
        make(root, **options)
    return str(error.value)


def test_tags_and_sorted_classes(root: Path) -> None:
    catalogue, _ = make(root)
    assert catalogue.class_names == ("cat", "dog")
    assert [catalogue.entries[f"i{k}"].tags for k in (0, 1, 2, 3)] == [(1, 2), (), (1,), (2,)]


def test_a_column_for_each_class_says_the_same(root: Path) -> None:
    lines = ["image,dog,cat"] + [f"i{k},{int(k % 3 == 0)},{int(k % 2 == 0)}" for k in range(10)]
    with_tags, _ = make(root)
    (root / "tags.csv").write_text("\n".join(lines))
    with_columns, _ = make(root)
    assert with_columns.content() == with_tags.content()


def test_the_split_is_seeded_and_does_not_depend_on_the_order_of_the_rows(root: Path) -> None:
    first, _ = make(root)
    assert len(first.ids("val")) == 2
    header, *rows = (root / "tags.csv").read_text().splitlines()
    (root / "tags.csv").write_text("\n".join([header, *reversed(rows)]))
    second, _ = make(root)
    assert set(first.ids("val")) == set(second.ids("val"))
    others = [set(make(root, seed=seed)[0].ids("val")) for seed in range(1, 6)]
    assert any(other != set(first.ids("val")) for other in others)


def test_validation_images_are_drawn_from_those_with_masks(root: Path) -> None:
    (root / "masks").mkdir()
    for id in ("i3", "i4"):
        Image.fromarray(np.full((4, 6), 2, np.uint8)).save(root / "masks" / f"{id}.png")
    catalogue, truth = make(root, masks="masks")
    assert set(catalogue.ids("val")) == {"i3", "i4"}
    assert (truth.mask("i3") == 2).all()


def test_a_split_column_decides(root: Path) -> None:
    rows = [f"i{k},cat,{'test' if k > 7 else 'train'}" for k in range(10)]
    (root / "tags.csv").write_text("\n".join(["image,tags,split", *rows]))
    catalogue, _ = make(root)
    assert {name: len(ids) for name, ids in catalogue.splits.items()} == {"train": 8, "test": 2}
    (root / "tags.csv").write_text("\n".join(["image,tags,split", *rows, "i0,cat,test"]))
    assert "line 12: expected one split for each image ('train'), found 'test'" in problems(root)


def test_every_bad_row_is_in_one_message(root: Path) -> None:
    rows = (root / "tags.csv").read_text().splitlines()
    rows[1], rows[3] = "i0.jpg,", "i2.jpg,catt"
    del rows[6]
    (root / "tags.csv").write_text("\n".join([rows[0], *rows[1:6], "", *rows[6:], "i9.jpg,dog", "ghost.jpg,dog"]))
    message = problems(root, classes=["cat", "dog"], val_fraction=0)
    assert "line 2: expected tags, or 'background' for an image without objects, found an empty cell" in message
    assert "line 4: expected classes of the data set, found 'catt'. Did you mean 'cat'" in message
    assert "line 12: expected each id once in split 'train', found 'i9' 2 times" in message
    assert f"line 13: expected an image of {root}/images, found 'ghost.jpg'" in message
    assert "i5.jpg: expected a row in tags.csv, found none" in message


@pytest.mark.parametrize("before", ["", "images/", "/data/x/images/"])
def test_a_bad_row_leaves_out_the_image_that_it_means(root: Path, before: str) -> None:
    lines = ["image,dog,cat"] + [f"{before}i{k}.jpg,{'?' if k == 3 else k % 2},{(k + 1) % 2}" for k in range(10)]
    (root / "tags.csv").write_text("\n".join(lines))
    catalogue, _ = make_skipping(root)
    assert list(catalogue.left_out) == ["i3"]
    assert "i3" not in catalogue.entries


@pytest.mark.parametrize("column", ["tags", "tag"])
@pytest.mark.parametrize("other", ["i0.jpg", "images/i0.jpg", "i0"])
def test_an_image_in_two_splits_whatever_it_is_called(root: Path, column: str, other: str) -> None:
    rows = [f"i{k}.jpg,cat,{'val' if k > 7 else 'train'}" for k in range(10)]
    (root / "tags.csv").write_text("\n".join([f"image,{column},split", *rows, f"{other},cat,val"]))
    assert "1 problem with 1 image:" in problems(root)
    assert "line 12: expected one split for each image ('train'), found 'val'" in problems(root)
    assert list(make_skipping(root)[0].left_out) == ["i0"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("picture,tags\n", "line 1: expected a header"),
        ("image,tags\ni0.jpg,cat,dog\n", r"line 2: expected 2 cells \(image, tags\), found 3"),
        ("image,tags,tags\n", "tags twice"),
        ("", "line 1: expected a header"),
        ("image\ni0.jpg\n", "found no class"),
        ("image,cat\ni0.jpg,perhaps\n", "line 2: expected 0 or 1 for each class, found cat='perhaps'"),
    ],
)
def test_a_bad_table_names_the_line(root: Path, content: str, found: str) -> None:
    (root / "tags.csv").write_text(content)
    with pytest.raises(DataError, match=found):
        make(root)


def test_a_table_of_other_bytes_names_the_line(root: Path) -> None:
    (root / "tags.csv").write_bytes("image,tags\ni0.jpg,müll\n".encode("latin-1"))
    with pytest.raises(DataError, match="line 2: expected UTF-8"):
        make(root)


def test_spreadsheet_habits_are_understood(root: Path) -> None:
    lines = (root / "tags.csv").read_text().replace(",", "\t").replace("\n", "\r\n")
    plain, _ = make(root)
    (root / "tags.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\t\r\n")
    assert make(root)[0].content() == plain.content()


def test_two_images_of_one_name_are_reported(root: Path) -> None:
    Image.new("RGB", (6, 4)).save(root / "images" / "i0.png")
    assert "expected one image with the name 'i0', found i0.jpg, i0.png" in problems(root)


def test_photos_are_turned_upright(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(root / "images" / "i0.jpg", exif=exif)
    catalogue, _ = make(root)
    assert catalogue.size("i0") == (6, 4)
    assert catalogue.image("i0").shape == (6, 4, 3)


def test_masks_alone_are_enough_when_the_classes_are_named(root: Path) -> None:
    (root / "masks").mkdir()
    for k in range(10):
        Image.fromarray(np.full((4, 6), k % 3, np.uint8)).save(root / "masks" / f"i{k}.png")
    catalogue, _ = make(root, tags=None, masks="masks", classes=["a", "b"])
    assert catalogue.entries["i0"].tags is None
    assert "found 2 (24 pixels)" in problems(root, tags=None, masks="masks", classes=["a"])
    with pytest.raises(ConfigurationError, match="name the `classes`"):
        folder(str(root), tags=None)


def test_missing_places(root: Path) -> None:
    assert "expected a folder, found none" in problems(root, images="imgs")
    assert "found no such file" in problems(root, tags="labels.csv")
    with pytest.raises(ConfigurationError, match="val_fraction"):
        make(root, val_fraction=1.5)
