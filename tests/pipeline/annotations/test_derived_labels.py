"""Labels that are derived from the truth: its void pixels are never labelled, and objects may be many."""

from __future__ import annotations

import numpy as np

from models.structures import UNLABELLED
from pipeline.annotations.boxes import Boxes
from pipeline.annotations.common import regions
from pipeline.annotations.points import Points
from pipeline.annotations.scribbles import Scribbles
from stages.annotate import AnnotationSource


def _source(mask: np.ndarray, instances: np.ndarray | None = None) -> AnnotationSource:
    return AnnotationSource("a", mask.shape, 1, None, lambda: mask, lambda: instances)  # type: ignore[arg-type]


def test_void_of_the_truth_is_no_background_of_derived_labels() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 3:9], mask[2:8, 9:20], mask[15:18, 3:20] = 1, 255, 255
    source = _source(mask)
    boxes = Boxes(core=1.0).derive(source)
    assert not np.isin(boxes.seeds[mask == 255], (0, 1)).any()
    assert (boxes.seeds[mask == 255] == 255).all()
    assert (boxes.seeds[mask == 1] == 1).all()
    points = Points(background=40)
    assert (points.supervise(source, points.derive(source)).seeds[mask == 255] == UNLABELLED).all()
    assert (Scribbles(margin=0, min_area=1).derive(source).seeds[mask == 255] == UNLABELLED).all()


def test_more_than_254_instances() -> None:
    numbers = np.arange(1, 401, dtype=np.int32).reshape(20, 20).repeat(4, 0).repeat(4, 1)
    found = regions(_source(np.ones((80, 80), np.uint8), numbers), 16)
    assert len(found) == 400
    assert all(region.area == 16 for region in found)


def test_points_of_a_radius_leave_void_alone() -> None:
    mask = np.full((20, 20), 255, np.uint8)
    mask[8:12, 8:12] = 1
    seeds = Points(radius=6).derived(_source(mask)).seeds
    assert (seeds[mask == 255] == UNLABELLED).all()
    assert (seeds == 1).sum() == 16
