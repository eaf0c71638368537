"""Boxes, clicks and strokes of one folder: each image has what there is of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError
from models.structures import UNLABELLED
from pipeline.annotations.build import annotate_catalogue, check_annotations
from tests.helpers.made_annotations import catalogue_of, csv_of

IDS = ("q0", "q1", "q2")


def folder_of(place: Path) -> Path:
    """q0 has boxes, q1 a click, q2 a box, a stroke and a click."""
    csv_of(place / "boxes.csv", [("q0", "cat", 10, 10, 30, 30), ("q2", "cat", 10, 10, 30, 30)])
    csv_of(place / "points.csv", [("q1", "dog", 5, 6), ("q2", "cat", 20, 20)], "image,class,x,y")
    (place / "scribbles").mkdir()
    strokes = np.full((64, 96), 255, np.uint8)
    strokes[20, 15:25] = 2
    Image.fromarray(strokes).save(place / "scribbles" / "q2.png")
    return place


def test_each_image_has_what_there_is_for_it(tmp_path: Path) -> None:
    catalogue, options = catalogue_of(IDS), {"file": str(folder_of(tmp_path))}
    check_annotations("mixture", catalogue, IDS, options)
    found = dict(annotate_catalogue("mixture", catalogue, None, IDS, options))
    assert (found["q0"].seeds == UNLABELLED).sum() == 400
    assert (found["q0"].seeds == 0).sum() == 64 * 96 - 400
    assert np.argwhere(found["q1"].seeds != UNLABELLED).tolist() == [[6, 5]]
    both = found["q2"]
    assert (both.seeds == 2).sum() == 9
    assert both.seeds[20, 20] == 1
    assert (both.seeds != UNLABELLED).sum() == 10
    assert both.tags.tolist() == [True, True]
    np.testing.assert_array_equal(both.boxes, [[10, 10, 30, 30]])  # type: ignore[arg-type]


def test_a_radius_of_the_clicks_alone(tmp_path: Path) -> None:
    options = {"file": str(folder_of(tmp_path)), "options": {"points": {"radius": 2}}}
    found = dict(annotate_catalogue("mixture", catalogue_of(IDS), None, IDS, options))
    assert (found["q1"].seeds == 2).sum() == 13


def test_images_that_no_file_has_are_named(tmp_path: Path) -> None:
    ids = (*IDS, "q3")
    with pytest.raises(
        DataError, match="expected boxes or scribbles or points for 4 images, found none for 1 of them: q3"
    ):
        check_annotations("mixture", catalogue_of(ids), ids, {"file": str(folder_of(tmp_path))})
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"expected a folder with boxes\.csv, scribbles, points\.csv.*kind: shapes"):
        check_annotations("mixture", catalogue_of(ids), ids, {"file": str(tmp_path / "other")})
