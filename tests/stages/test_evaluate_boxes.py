"""evaluate_boxes: which images are judged, what right means, and that parts add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import DataError
from models.metrics.image_counts import BOXES
from models.structures import Cam, Image
from stages.evaluate_boxes import BoxSample, score_boxes

SIZE = (20, 30)
GOOD, BAD = (5, 4, 15, 12), (20, 10, 28, 18)


class FirstPixel:
    """Its logits are six numbers in the first row of the red channel."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def tag_scores(self, image: Tensor) -> Tensor:
        self.shapes.append(tuple(image.shape))
        return image[:, 0, 0, :6]


def picture(best: int, second: int = 6) -> Callable[[], Image]:
    """Class ``best`` before class ``second`` before 1, 2, 3, ..."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[0, :6, 0] = [60, 50, 40, 30, 20, 10]
    image[0, second - 1, 0] = 200
    image[0, best - 1, 0] = 250
    return lambda: image


def sample(id: str, box: tuple[int, ...], label: int = 1, best: int = 1, objects: int = 1) -> BoxSample:
    """A CAM that is 1 in GOOD, 0.4 around it and 0 elsewhere; ``box`` is the truth."""
    scores = np.zeros((1, *SIZE), np.float32)
    scores[0, 2:16, 2:20] = 0.4
    scores[0, GOOD[1] : GOOD[3], GOOD[0] : GOOD[2]] = 1
    boxes = np.array([box] * objects, np.float32)
    return BoxSample(id, Cam(np.array([label]), scores, SIZE), np.full(objects, label), boxes, picture(best))


def test_right_box_and_right_class() -> None:
    samples = [
        sample("both", GOOD),
        sample("class second", GOOD, label=6, best=1),
        sample("class last", GOOD, label=5, best=1),
        sample("box wrong", BAD),
    ]
    found = score_boxes(samples, FirstPixel()).localisation().metrics
    assert (found["images"], found["left_out"]) == (4, 0)
    assert found["gt_known"] == 75
    assert found["top1_loc"] == 25
    assert found["top5_loc"] == 50
    assert (found["top1_cls"], found["top5_cls"]) == (50, 75)
    assert found["best_threshold"] == pytest.approx(0.4), "the first level that cuts the rim off"


def test_scores_that_are_no_numbers_are_no_hit() -> None:
    class Lost:
        def tag_scores(self, image: Tensor) -> Tensor:
            return torch.full((len(image), 6), torch.nan)

    with pytest.raises(DataError, match="Image 'a': expected finite scores of its classes, found nan"):
        score_boxes([sample("a", GOOD)], Lost())


def test_images_add_up_to_the_scores() -> None:
    samples = [sample(str(k), GOOD if k % 3 else BAD, label=1 + k % 4, best=1 + k % 2) for k in range(9)]
    found = score_boxes(samples, FirstPixel()).localisation()
    assert [image[:3] for image in found.images] == [(str(k), 1 + k % 4, 1) for k in range(9)]
    for name, counts in zip(BOXES[1:], zip(*(image[3:] for image in found.images), strict=True), strict=True):
        key = f"max_box_acc_{name}" if name.startswith("v2") else name
        assert set(counts) <= {0, 1}
        assert 100 * sum(counts) / 9 == pytest.approx(found.metrics[key]), name


def test_v2_is_the_mean_over_three_ious() -> None:
    """The truth of b has an IoU of .49 with the narrow box and of .42 with the wide one."""
    found = score_boxes([sample("a", GOOD), sample("b", (2, 2, 12, 12))], FirstPixel()).localisation()
    metrics = found.metrics
    assert [metrics[f"max_box_acc_v2_{iou}"] for iou in (30, 50, 70)] == [100, 50, 50]
    assert metrics["max_box_acc_v2"] == pytest.approx(200 / 3)
    assert found.columns == ("threshold", "max_box_acc", "v2_30", "v2_50", "v2_70")
    assert len(found.rows) == 1000
    assert found.rows[600] == (0.6, 50, 100, 50, 50)


def test_which_images_are_judged() -> None:
    several = sample("two objects", GOOD, objects=2)
    mixed = replace(several, id="two classes", classes=np.array([1, 2]))
    nothing = replace(several, id="nothing", classes=np.zeros(0, np.int64), boxes=np.zeros((0, 4), np.float32))
    samples = [sample("one", GOOD), several, mixed, nothing]
    found = score_boxes(samples, FirstPixel()).localisation().metrics
    assert (found["images"], found["left_out"]) == (2, 2)
    found = score_boxes(samples, FirstPixel(), images="single_object").localisation().metrics
    assert (found["images"], found["left_out"]) == (1, 3)
    with pytest.raises(DataError, match="Nothing to evaluate: 2 images"):
        score_boxes([mixed, nothing], FirstPixel()).localisation()


def test_an_image_that_is_left_out_is_not_read() -> None:
    unread = replace(sample("a", GOOD, objects=2), image=lambda: pytest.fail("read"))
    assert score_boxes([unread], FirstPixel(), images="single_object").left_out == 1


def test_a_cam_without_the_class_is_an_error() -> None:
    wrong = replace(sample("bird", GOOD), classes=np.array([3]))
    with pytest.raises(DataError, match=r"Image 'bird': expected a CAM with a map of its class 3, found classes \[1\]"):
        score_boxes([wrong], FirstPixel())


def test_parts_add_up_and_batches_change_nothing() -> None:
    samples = [sample(str(k), GOOD if k % 3 else BAD, label=1 + k % 4, best=1 + k % 2) for k in range(9)]
    whole = score_boxes(samples, FirstPixel()).localisation()
    parts = [score_boxes(samples[k : k + 4], FirstPixel()) for k in (0, 4, 8)]
    assert parts[0].merge(parts[1]).merge(parts[2]).localisation() == whole
    ranker = FirstPixel()
    assert score_boxes(samples, ranker, batch_size=4).localisation() == whole
    assert {shape[0] for shape in ranker.shapes} == {4, 1}


def test_the_protocol_judges_on_a_square_and_ranks_a_square() -> None:
    ranker = FirstPixel()
    found = score_boxes([sample("a", GOOD)], ranker, side=40, square=24).localisation().metrics
    assert ranker.shapes == [(1, 3, 24, 24)]
    assert found["gt_known"] == 100
    assert torch.is_grad_enabled()
