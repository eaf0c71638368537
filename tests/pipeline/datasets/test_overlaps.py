"""Images that are learnt from and tested on are said, whatever they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.build import make_catalogue
from pipeline.datasets.overlaps import overlap_notices
from pipeline.problems.notices import read_notices


def texts(splits: dict[str, list[str]], contents: dict[str, str] | None = None) -> list[str]:
    return [notice.text for notice in overlap_notices(splits, contents or {})]


def test_images_of_train_and_val_are_counted() -> None:
    (text,) = texts({"train": ["a", "b", "c"], "val": ["c", "d", "b"], "trainval": ["a", "d"]})
    assert text.startswith("2 of 3 images of val are learnt from too")
    assert "c, b. Remedy: leave them out of one of the splits." in text


def test_copies_under_another_name_are_found() -> None:
    (text,) = texts({"train_aug": ["a"], "test_2": ["b", "c"]}, {"a": "x", "b": "y", "c": "x"})
    assert text.startswith("1 of 2 images of test_2")
    assert "c, which is a in train" in text


def test_splits_that_may_lie_in_each_other_are_silent() -> None:
    assert texts({"train": ["a"], "train_aug": ["a", "b"], "trainval": ["a", "c"], "val": ["c"]}) == []


def test_prepare_says_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    lines = ["image,tags,split"]
    for k in range(6):
        picture = np.random.default_rng(max(k, 1)).integers(256, size=(8, 9, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "images" / f"s{k}.png")
        lines.append(f"s{k}.png,{('cat', 'dog')[k % 2]},{'val' if k in (0, 5) else 'train'}")
    (tmp_path / "tags.csv").write_text("\n".join(lines))
    make_catalogue("folder", tmp_path / "out" / "mine", tmp_path / "truth" / "mine", {"root": str(tmp_path)})
    notices = {notice.topic: notice for notice in read_notices(tmp_path / "out" / "mine")}
    assert notices["images_learnt_and_tested"].count == 1
    assert "s0, which is s1 in train" in notices["images_learnt_and_tested"].text
