"""Points on body parts, from files made here in the format of DensePose-COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED, Supervision
from pipeline.annotations.build import annotate_catalogue
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.densepose import MIRRORED, PART_OF_SURFACE, PARTS
from pipeline.loading.loader_options import LoaderOptions
from pipeline.loading.loaders import augment
from pipeline.loading.transforms import swap_classes

PERSON = {
    "image_id": 7,
    "bbox": [10.0, 20.0, 32.0, 16.0],  # x, y, width, height
    # a unit is 1/8 pixel across and 1/16 down; the torso has three points, of which the middle one counts
    "dp_x": [0.0, 80.0, 240.0, 128.0, 8.0],
    "dp_y": [0.0, 64.0, 128.0, 255.9, 16.0],
    "dp_I": [1.0, 2.0, 1.0, 3.0, 24.0],
}


def content() -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": 50, "width": 60},
            {"id": 8, "file_name": "b.jpg", "height": 50, "width": 60},
        ],
        "annotations": [PERSON, {"image_id": 7, "bbox": [0, 0, 5, 5]}, {"image_id": 8, "bbox": [1, 2, 3, 4]}],
    }


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    for folder in ("data/train2014", "data/masks"):
        Path(folder).mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(f"data/train2014/{name}.jpg")
    Image.fromarray(np.full((50, 60), 14, np.uint8)).save("data/masks/a.png")
    Path("data/points.json").write_text(json.dumps(content()))
    options = {"root": "data", "splits": {"train": "points.json"}, "images": {"train": "train2014"}, "masks": "masks"}
    return make_catalogue("densepose", tmp_path / "catalogue", tmp_path / "truth", options)


def test_parts_are_left_and_right() -> None:
    assert (len(PARTS), len(PART_OF_SURFACE)) == (14, 24)
    for one, other in MIRRORED:
        names = PARTS[one - 1], PARTS[other - 1]
        assert {name.split(" ", 1)[0] for name in names} == {"left", "right"}
        assert len({name.split(" ", 1)[1] for name in names}) == 1
    assert {PARTS[part - 1] for part in PART_OF_SURFACE} == set(PARTS)


def test_images_with_points_are_listed(bed: Catalogue) -> None:
    assert bed.splits == {"train": ("a",)}
    assert bed.class_names == PARTS
    assert (bed.folder.parent / "truth" / "ground_truth.json").read_text().count("masks/a.png") == 1


def test_a_point_for_each_part_and_one_on_the_background(bed: Catalogue) -> None:
    ((_, found),) = annotate_catalogue("points", bed, None, ["a"], {"file": "data/points.json"})
    rows, columns = np.nonzero(found.seeds != UNLABELLED)
    points = {(int(r), int(c)): int(found.seeds[r, c]) for r, c in zip(rows, columns, strict=True)}
    torso, hand, head = (24, 20), (35, 26), (21, 11)
    assert points.pop(torso) == 1
    assert points.pop(hand) == 2
    assert points.pop(head) == 14
    ((background, class_),) = points.items()
    assert class_ == 0
    assert not (20 <= background[0] < 36 and 10 <= background[1] < 42)
    assert np.flatnonzero(found.tags).tolist() == [0, 1, 13]


def test_a_file_of_another_kind_is_named(bed: Catalogue) -> None:
    Path("data/bad.json").write_text('{"images": [], "annotations": [{"image_id": 7}, 3]}')
    with pytest.raises(DataError, match=r"bad\.json: expected a JSON of DensePose-COCO"):
        make_catalogue("densepose", Path("c"), Path("t"), {"root": "data", "splits": {"train": "bad.json"}})
    with pytest.raises(ConfigurationError, match="split 'test' has no folder of images"):
        make_catalogue("densepose", Path("c"), Path("t"), {"root": "data", "splits": {"test": "points.json"}})
    Path("data/worse.json").write_text('{"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": []}')
    with pytest.raises(DataError, match=r"worse\.json: expected a JSON of points"):
        list(annotate_catalogue("points", bed, None, ["a"], {"file": "data/worse.json"}))


def test_left_and_right_change_places_in_a_mirror() -> None:
    seeds = np.full((4, 6), UNLABELLED, np.uint8)
    seeds[1, 0], seeds[2, 2], seeds[3, 3] = 2, 14, 255
    tags = np.zeros(14, bool)
    tags[[1, 13]] = True
    image = np.zeros((4, 6, 3), np.uint8)
    options = LoaderOptions(batch_size=1, crop=6, mirrored_classes=MIRRORED)
    seen = set()
    for seed in range(8):
        _, found = augment(image, Supervision(tags, seeds), options, np.random.default_rng(seed))
        hand, head = ((int(c) for c in np.nonzero(found.seeds == part)[1]) for part in (2, 14))
        flipped = 3 in found.seeds
        seen.add(flipped)
        assert list(hand) == ([] if flipped else [0])
        assert list(head) == [3 if flipped else 2]
        assert np.flatnonzero(found.tags).tolist() == ([2, 13] if flipped else [1, 13])
    assert seen == {True, False}


def test_boxes_change_their_class_too_and_wrong_pairs_are_refused() -> None:
    given = Supervision(
        np.array([True, False]), np.zeros((1, 1), np.uint8), np.zeros((1, 4), np.float32), np.array([1])
    )
    swapped = swap_classes(given, [(1, 2)])
    assert swapped.box_classes is not None
    assert (swapped.box_classes.tolist(), swapped.tags.tolist()) == ([2], [False, True])
    with pytest.raises(ConfigurationError, match=r"expected classes 1\.\.2, found \[\[1, 3\]\]"):
        swap_classes(given, [(1, 3)])
    with pytest.raises(ConfigurationError, match="each class in one pair"):
        LoaderOptions(mirrored_classes=((1, 2), (2, 3)))
