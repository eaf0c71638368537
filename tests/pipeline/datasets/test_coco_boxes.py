"""Boxes without regions, and numbers in every writing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import DataError
from tests.helpers.coco_field import LEAF, REGIONS, STONE, TWO, boxed, entry, make, refused, region, write
from tests.helpers.coco_folder import runs, square

# Boxes without regions


@pytest.mark.parametrize("segmentation", [[], None, {}, [[]], "missing"])
def test_files_of_boxes_have_tags_and_boxes_and_no_masks(tmp_path: Path, segmentation: Any) -> None:
    boxes = [
        boxed(1, 1, [2, 2, 6, 6]), boxed(1, 1, [10.5, 2, 6, 6]), boxed(2, 2, [4, 0, 6, 10]), boxed(2, 1, [0, 0, 3, 3])
    ]  # fmt: skip
    for box in boxes:
        box["segmentation"] = segmentation
        if segmentation == "missing":
            del box["segmentation"]
    write(tmp_path, [*TWO, entry(3, "c.png")], boxes, files=("images/a.png", "images/b.png", "images/c.png"))
    catalogue, truth, notices = make(tmp_path)
    assert [one.tags for one in catalogue.entries.values()] == [(1,), (1, 2), ()]
    found = truth.boxes("a")
    assert found is not None
    assert found.tolist() == [[2, 2, 8, 8], [10.5, 2, 16.5, 8]]
    text = notices["annotations_without_segmentation"]
    assert "4 of 4 annotations have a bbox and no segmentation. 3 of 3 images have no mask" in text
    for id in ("a", "b", "c"):
        with pytest.raises(DataError, match="has no ground-truth mask"):
            truth.mask(id)
    assert truth.instances("a") is None


def test_boxes_beside_regions_are_void(tmp_path: Path) -> None:
    mixed = [boxed(1, 2, [1, 1, 4, 8]), *REGIONS, boxed(3, 2, [0, 0, 5, 5])]
    files = [f"images/{name}.png" for name in "abcd"]
    write(tmp_path, [*TWO, entry(3, "c.png"), entry(4, "d.png")], mixed, files=files)
    catalogue, truth, notices = make(tmp_path)
    assert truth.mask("a")[5].tolist() == [0, 255] + [LEAF] * 6 + [0] * 12
    assert truth.mask("a")[1].tolist() == [0] + [255] * 4 + [0] * 15
    instances = truth.instances("a")
    assert instances is not None
    assert set(np.unique(instances)) == {0, 2}
    assert not truth.mask("d").any()
    assert catalogue.entry("c").tags == (STONE,)
    with pytest.raises(DataError, match="has no ground-truth mask"):
        truth.mask("c")
    text = notices["annotations_without_segmentation"]
    assert "2 of 4 annotations" in text
    assert "1 of 4 images have no mask" in text
    assert "In 1 images with other regions (images/a.png) the pixels of these boxes are void (255)" in text


def test_polygons_of_two_points_are_their_box_or_left_out(tmp_path: Path) -> None:
    line = region(1, 1, [[1, 1, 5, 5]], bbox=[1, 1, 4, 4])
    more = region(2, 2, [*square(4, 0, 10, 10), [1, 1, 5, 5]])
    write(tmp_path, annotations=[line, region(1, 2, square(8, 0, 10, 10)), more])
    _, truth, notices = make(tmp_path)
    assert truth.mask("a")[2].tolist() == [0] + [255] * 4 + [0] * 3 + [STONE] * 2 + [0] * 10
    assert "2 of 3 annotations have polygons of fewer than three points" in notices["polygons_of_two_points"]
    write(tmp_path, annotations=[region(1, 1, [[1, 1, 5, 5]]), *REGIONS])
    assert "or a bbox, found a polygon without three points x, y" in refused(tmp_path)
    write(tmp_path, annotations=[region(1, 1, [[1, 1, 5, 5, 3, 3, 2]]), *REGIONS])
    assert "found a polygon of 7 numbers" in refused(tmp_path)


@pytest.mark.parametrize(
    "segmentation", [[2, 2, 8, 2, 8, 8, 2, 8], [[2, 2], [8, 2], [8, 8], [2, 8]], [[[2, 2], [8, 2], [8, 8], [2, 8]]],
                     [["2", "2", "8.0", "2", "8", "8", "2", "8"]]]
)  # fmt: skip
def test_other_ways_to_write_a_polygon(tmp_path: Path, segmentation: Any) -> None:
    write(tmp_path, annotations=[region(1, 1, segmentation), REGIONS[1]])
    mask = make(tmp_path)[1].mask("a")
    assert (mask[2:8, 2:8] == LEAF).all()
    assert int((mask == LEAF).sum()) == 36


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        (["1", "2", "3", "4"], "expected a bbox of four numbers x, y, width, height in pixels, found [\"'1'\""),
        ([1, 2, 3], "expected a bbox of four numbers"),
        ([1, 2, 3, None], "expected a bbox of four numbers"),
        ({"x": 1}, "expected a bbox of four numbers"),
        ([1, 2, float("nan"), 4], "expected a bbox of four numbers"),
        ([1, 2, -3, 4], "expected a bbox with width and height above 0, found [1, 2, -3, 4]"),
        ([1, 2, 0, 4], "expected a bbox with width and height above 0"),
        ([21, 2, 3, 4], "expected a bbox x, y, width, height within 10 x 20 (H x W), found [21, 2, 3, 4]"),
    ],
)
def test_boxes_that_are_none(tmp_path: Path, bbox: Any, message: str) -> None:
    write(tmp_path, annotations=[boxed(1, 1, bbox), boxed(2, 2, [1, 1, 4, 4])])
    assert message in refused(tmp_path)


def test_corners_instead_of_sizes_are_found_out(tmp_path: Path) -> None:
    write(tmp_path, annotations=[boxed(1, 1, [10, 2, 18, 8]), boxed(2, 2, [0, 0, 6, 10]), boxed(2, 2, [9, 4, 19, 9])])
    message = refused(tmp_path)
    assert "expected bbox as x, y, width, height in pixels, found left, top, right, bottom: 2 of 3 boxes" in message
    write(tmp_path, annotations=[boxed(1, 1, [10, 2, 18, 8]), boxed(2, 2, [1, 1, 4, 0.5])])
    assert "1 of 2 boxes reach more than 2 pixels beyond" in make(tmp_path)[2]["boxes_beyond_image"]


def test_shares_of_the_image_are_found_out(tmp_path: Path) -> None:
    write(tmp_path, annotations=[boxed(1, 1, [0.1, 0.2, 0.5, 0.5]), boxed(2, 2, [0, 0, 1, 1])])
    assert "expected bbox in pixels, found coordinates that look like shares of the image" in refused(tmp_path)
    shares = [region(1, 1, square(0.1, 0.2, 0.5, 0.5)), region(2, 2, square(0.2, 0, 0.5, 1))]
    write(tmp_path, annotations=shares)
    assert "expected polygons in pixels, found coordinates that look like shares of the image" in refused(tmp_path)
    write(tmp_path, annotations=[*shares, *REGIONS])
    make(tmp_path)


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), "nan"])
@pytest.mark.parametrize("place", range(8))
def test_polygons_of_no_numbers(tmp_path: Path, odd: Any, place: int) -> None:
    """A nan in y alone would keep pycocotools busy for minutes."""
    [polygon] = square(2, 2, 8, 8)
    polygon[place] = odd
    write(tmp_path, annotations=[region(1, 1, [polygon]), REGIONS[1]])
    assert "expected polygons near an image of 10 x 20 (H x W)" in refused(tmp_path)


# Numbers


def test_whole_numbers_in_any_writing(tmp_path: Path) -> None:
    images = [entry("1", "a.png", height=10.0, width="20"), entry(2.0, "b.png", height="10", width=20.0)]  # type: ignore[arg-type]
    annotations = [region(1.0, "1", square(2, 2, 8, 8)), region("2", 2.0, square(4, 0, 10, 10), iscrowd="0")]
    write(tmp_path, images, annotations, [{"id": "1", "name": "leaf"}, {"id": 2.0, "name": "stone"}])
    _, truth, notices = make(tmp_path)
    assert (truth.mask("a")[5, 5], truth.mask("b")[5, 5]) == (LEAF, STONE)
    assert notices == {}


def test_text_as_ids_of_images(tmp_path: Path) -> None:
    images = [entry("img-a", "a.png"), entry("img-b", "b.png")]  # type: ignore[arg-type]
    annotations = [region("img-a", 1, square(2, 2, 8, 8), id="u-1"), region("img-b", 2, square(4, 0, 10, 10), id=None)]
    write(tmp_path, images, annotations)
    assert make(tmp_path)[1].mask("b")[5, 5] == STONE


@pytest.mark.parametrize(
    "size", [{"height": 10.5}, {"width": -20}, {"width": True}, {"height": None}, {"width": 2**40}]
)
def test_sizes_that_are_none(tmp_path: Path, size: Mapping[str, Any]) -> None:
    write(tmp_path, [{**TWO[0], **size}, TWO[1]])
    assert "image 1: expected an image with height and width in pixels, found" in refused(tmp_path)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            [20, 10],
            "run lengths of size [10, 20] (H, W), found size [20, 10]: height and width are interchanged",
        ),
        ([10, 21], "expected run lengths of size [10, 20] (H, W), found size [10, 21]"),
        ("10x20", "found size 10x20"),
    ],
)
def test_the_size_of_run_lengths_is_checked(tmp_path: Path, size: Any, message: str) -> None:
    write(tmp_path, annotations=[region(1, 1, {**runs(2, 2, 8, 8), "size": size}), REGIONS[1]])
    assert message in refused(tmp_path)
    write(tmp_path, annotations=[region(1, 1, {**runs(2, 2, 8, 8), "size": [10.0, "20"]}), REGIONS[1]])
    assert make(tmp_path)[1].mask("a")[5, 5] == LEAF
