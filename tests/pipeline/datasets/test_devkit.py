"""The made devkits are data sets that the readers take as they take the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.devkit import main
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.ground_truth import GroundTruth


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")


def test_voc(tmp_path: Path) -> None:
    arguments = ["--images", "24", "--val", "8", "--size", "50x40"]
    main([str(tmp_path / "a"), *arguments])
    main([str(tmp_path / "b"), *arguments])
    options = {"splits": {"train": "train_aug", "val": "val"}, "masks": "SegmentationClassAug"}
    labels = str(tmp_path / "a" / "image_labels.json")
    found = [
        make_catalogue(
            "voc", tmp_path / "c" / k, tmp_path / "g" / k, {"root": str(tmp_path / k), "labels": labels, **options}
        )
        for k in "ab"
    ]
    assert [len(ids) for ids in found[0].splits.values()] == [24, 8]
    assert {tag for entry in found[0].entries.values() for tag in entry.tags or ()} == set(range(1, 21))
    assert found[0].entries == found[1].entries, "the same seed draws the same files"
    truth = GroundTruth(found[0], tmp_path / "g" / "a")
    for id, entry in found[0].entries.items():
        assert set(np.unique(truth.mask(id))) - {0} <= set(entry.tags or ())
    with pytest.raises(SystemExit, match="is there already"):
        main([str(tmp_path / "a"), *arguments])


def test_coco(tmp_path: Path) -> None:
    main([str(tmp_path / "kit"), "--images", "90", "--val", "10", "--size", "50x40", "--coco"])
    catalogue = make_catalogue("coco", tmp_path / "c", tmp_path / "g", {"root": str(tmp_path / "kit")})
    assert [len(ids) for ids in catalogue.splits.values()] == [90, 10]
    assert {tag for entry in catalogue.entries.values() for tag in entry.tags or ()} == set(range(1, 81))
    crowd = GroundTruth(catalogue, tmp_path / "g").mask("000000000050")
    assert (crowd[-1] == 255).any()
    assert not (crowd[:-4] == 255).any()
