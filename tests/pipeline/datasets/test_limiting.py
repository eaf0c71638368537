"""Which images a limit takes."""

from __future__ import annotations

from pipeline.datasets.limiting import first_images, limited
from pipeline.datasets.listing import Listed, Listing
from stages.prepare import Problem


def test_the_first_of_each_split_in_its_order() -> None:
    assert first_images({"train": ["d", "c", "a"], "val": ["y", "x"]}, 2) == {"train": ["d", "c"], "val": ["y", "x"]}
    assert first_images({"train": ["d"]}, 5) == {"train": ["d"]}


def test_splits_that_lie_in_each_other_have_images_in_common() -> None:
    splits = {"train_aug": [f"{k:02d}" for k in range(20)], "train": ["07", "12", "15", "19"], "val": ["v"]}
    assert first_images(splits, 2) == {"train_aug": ["07", "12"], "train": ["07", "12"], "val": ["v"]}
    assert first_images(splits, 6)["train_aug"] == ["00", "01", "07", "12", "15", "19"]


def test_what_is_wrong_with_other_images_does_not_count() -> None:
    def problem(id: str) -> Problem:
        return Problem(id, "list.txt", "an image", "none")

    items = [Listed(id, f"{id}.jpg") for id in ("a", "b", "c")]
    listing = Listing(".", ("cat",), {"train": items}, (1,), 1, [problem("a"), problem("c"), problem("the list")])
    assert [bad.id for bad in limited(listing, 2).problems] == ["a", "the list"]
