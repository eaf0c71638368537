"""The made photos are a folder as a user has one: `init` takes it, and its masks have the classes of its tags."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.photos import main
from pipeline.new_book.survey import survey


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")


def tags(folder: Path) -> list[set[str]]:
    with (folder / "tags.csv").open(encoding="utf-8") as file:
        return [set(row["tags"].split(";")) for row in csv.DictReader(file)]


def test_init_takes_them_and_masks_agree_with_tags(tmp_path: Path) -> None:
    main([str(tmp_path / "a"), "--images", "14", "--masks"])
    found = survey(tmp_path / "a")
    assert (found.total, found.tags, found.masks) == (14, "tags.csv", "masks")
    for number, said in enumerate(tags(tmp_path / "a"), start=1):
        mask = np.asarray(Image.open(tmp_path / "a" / "masks" / f"photo_{number:03d}.png"))
        assert {found.classes[label - 1] for label in np.unique(mask) if label} == said


def test_wrong_tags_are_the_first_ones_and_no_others(tmp_path: Path) -> None:
    main([str(tmp_path / "right"), "--images", "6"])
    main([str(tmp_path / "wrong"), "--images", "6", "--wrong", "2"])
    differ = [a != b for a, b in zip(tags(tmp_path / "right"), tags(tmp_path / "wrong"), strict=True)]
    assert differ == [True, True, False, False, False, False]
    with pytest.raises(SystemExit, match="is there already"):
        main([str(tmp_path / "wrong")])
