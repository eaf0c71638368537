"""The made devkits are data sets that the readers take as they take the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.devkit import main
from pipeline.annotations.proposers import CocoResults, SamFiles
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


@pytest.mark.parametrize("coco", [False, True])
def test_masks_of_sam_and_entityseg(tmp_path: Path, coco: bool) -> None:
    kit = tmp_path / "kit"
    main([str(kit), "--images", "80", "--val", "3", "--size", "50x40", "--masks", *(["--coco"] if coco else [])])
    options = {"root": str(kit)} | ({} if coco else {"splits": {"train": "train_aug", "val": "val"}})
    options |= {} if coco else {"masks": "SegmentationClassAug", "labels": str(kit / "image_labels.json")}
    catalogue = make_catalogue("coco" if coco else "voc", tmp_path / "c", tmp_path / "g", options)
    sources = [("val", CocoResults(), kit / "entityseg_val.json")]
    sources += [] if coco else [("train", SamFiles(), kit / "sam_masks")]
    truth = GroundTruth(catalogue, tmp_path / "g")
    for split, proposer, file in sources:
        ids = catalogue.ids(split)
        assert not proposer.check(file, catalogue, ids)
        for id in ids[:3]:
            found = proposer.bind(file, catalogue)(id)
            assert found.masks.any(0).all()
            objects = found.masks[found.scores > 0.8]
            assert ((truth.mask(id) % 255 > 0) <= objects.any(0)).mean() > 0.95
