"""What tags cannot teach is said once a kind, with counts and a remedy."""

from __future__ import annotations

import pytest

from pipeline.datasets.teachable import teachable_notices, too_many_for_masks

CAT, OWL = 1, 2


def test_a_class_that_only_validation_images_have() -> None:
    tags = {"train": [(CAT,)] * 10 + [()] * 6, "val": [(CAT,)] * 2 + [(OWL,)] * 2}
    (notice,) = teachable_notices(["cat", "owl"], tags)
    assert (notice.topic, notice.count) == ("class_without_training_image", 1)
    assert "No training image has 'owl' (2 of val have)" in notice.text


def test_a_class_that_no_image_has() -> None:
    (notice,) = teachable_notices(["cat", "owl"], {"train": [(CAT,)] * 10 + [()] * 6, "val": []})
    assert notice.topic == "class_without_image"
    assert "No image at all has 'owl'" in notice.text


def test_a_class_on_every_training_image() -> None:
    (notice,) = teachable_notices(["crack"], {"train": [(1,)] * 20, "val": [()]})
    assert notice.topic == "class_on_every_training_image"
    assert notice.text.startswith("Class 'crack' is on every training image (20): tags then say nothing about where")
    assert "points, scribbles or boxes" in notice.text
    (notice,) = teachable_notices(["crack"], {"train": [(1,)] * 98 + [()] * 2})
    assert "'crack' (98) is on almost every one of 100 images" in notice.text
    assert not teachable_notices(["crack"], {"train": [(1,)] * 18 + [()] * 2})


def test_few_training_images() -> None:
    (notice,) = teachable_notices(["cat", "owl"], {"train": [(CAT,)] * 10 + [(OWL,)] * 4})
    assert (notice.topic, notice.count) == ("class_with_few_training_images", 1)
    assert "'owl' (4)" in notice.text
    assert not teachable_notices(["cat", "owl"], {"train": [(CAT,)] * 10 + [(OWL,)] * 5})


def test_classes_that_are_always_together() -> None:
    tags = {"train": [(1, 2)] * 6 + [(3,)] * 6}
    (notice,) = teachable_notices(["train", "rail", "cow"], tags)
    assert (notice.topic, notice.count) == ("classes_always_together", 2)
    assert "'train' and 'rail'" in notice.text
    assert not teachable_notices(["train", "rail", "cow"], {"train": [*tags["train"], (1,)]})


def test_images_of_which_nothing_is_known_do_not_count() -> None:
    assert not teachable_notices(["cat"], {"train": [None] * 5})
    assert not teachable_notices(["cat"], {"val": [(1,)] * 5})
    (notice,) = teachable_notices(["cat"], {"train": [None, *[(1,)] * 5]})
    assert "every training image (5)" in notice.text


def test_a_tag_that_stands_twice_counts_once() -> None:
    assert not teachable_notices(["cat"], {"train": [(1, 1)] * 5 + [()] * 5})


@pytest.mark.parametrize("names", [300])
def test_no_message_is_longer_than_a_screen(names: int) -> None:
    tags = {"train": [(k,) for k in range(1, 101)], "val": [(k,) for k in range(101, 201)]}
    notices = teachable_notices([f"c{k}" for k in range(names)], tags)
    assert [notice.count for notice in notices] == [100, 100, 100]
    assert all(len(notice.text) < 400 for notice in notices)


def test_masks_hold_so_many_classes() -> None:
    assert not too_many_for_masks(253)
    (notice,) = too_many_for_masks(300)
    assert "300 classes: masks hold at most 253, so the chain ends at the class activation maps" in notice.text
