"""Class-agnostic masks from files: what is read, what is left out, what is refused and said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pycocotools import mask as pycoco

from models.errors import ConfigurationError, DataError
from models.ops.oversegmentation import RegionOptions, oversegment
from pipeline.annotations.proposers import CocoResults, RegionMaps, SamFiles
from pipeline.annotations.regions import RegionSource
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from tests.helpers.made_book import SIZE, book, make

BOX = np.zeros(SIZE, bool)
BOX[3:20, 10:31] = True
DOT = np.zeros(SIZE, bool)
DOT[0, 0] = True


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    return make(book(), ids={"train": ("000000000007", "t1"), "val": ("v0",)}, truth=False, stages=())


def coded(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    runs = pycoco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(runs["size"]), "counts": runs["counts"].decode()}


def sam(mask: npt.NDArray[np.bool_], iou: float = 0.9, **more: Any) -> dict[str, Any]:
    return {"segmentation": coded(mask), "area": int(mask.sum()), "predicted_iou": iou, "stability_score": 0.5, **more}


def folder(path: Path, files: Mapping[str, Any]) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def results(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_sam_gives_masks_and_scores(catalogue: Catalogue, tmp_path: Path) -> None:
    place = folder(tmp_path / "sam", {"t1": [sam(BOX, 1.02), sam(DOT, 0.7)], "000000000007": {"annotations": []}})
    assert SamFiles().check(place, catalogue, catalogue.ids("train")) == []
    read = SamFiles().bind(place, catalogue)
    found = read("t1")
    np.testing.assert_array_equal(found.masks, [BOX, DOT])
    np.testing.assert_allclose(found.scores, [1, 0.7])
    assert read("000000000007").masks.shape == (0, *SIZE)
    kept = SamFiles("stability_score", least_score=0.5, least_area=2).bind(place, catalogue)("t1")
    np.testing.assert_array_equal(kept.masks, [BOX])
    np.testing.assert_allclose(kept.scores, [0.5])


def test_sam_without_a_file_is_refused_and_strangers_are_named(catalogue: Catalogue, tmp_path: Path) -> None:
    place = folder(tmp_path / "sam", {"t1": [], "someone": []})
    with pytest.raises(DataError, match="files of SAM's masks for 2 images, found none for 1 of them: 000000000007"):
        SamFiles().check(place, catalogue, catalogue.ids("train"))
    (notice,) = SamFiles().check(place, catalogue, ["t1"])
    assert (notice.topic, notice.count) == ("proposals_without_image", 1)
    assert "someone.json" in notice.text
    with pytest.raises(DataError, match="expected a folder"):
        SamFiles().check(place / "t1.json", catalogue, ["t1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"masks": []}, "expected the JSON of SAM's automatic masks"),
        ([{"segmentation": coded(BOX)}], "a number `predicted_iou`"),
        ([sam(BOX, float("nan"))], "a number `predicted_iou`"),
        ([sam(BOX.T)], "height and width are interchanged"),
        ([sam(BOX[:, :-1])], r"run lengths of size \[40, 60\]"),
        ([{"predicted_iou": 0.5, "bbox": [0, 0, 5, 5]}], "masks with a segmentation"),
        ([{"segmentation": {"size": [40, 60], "counts": [1, 2]}, "predicted_iou": 0.5}], "add up to 3"),
    ],
)
def test_bad_files_of_sam_are_refused(catalogue: Catalogue, tmp_path: Path, content: Any, message: str) -> None:
    place = folder(tmp_path / "sam", {"t1": content})
    with pytest.raises(DataError, match=message) as raised:
        SamFiles().bind(place, catalogue)("t1")
    assert str(place / "t1.json") in str(raised.value)


def test_coco_results_are_found_by_name_number_or_list(catalogue: Catalogue, tmp_path: Path) -> None:
    masks = [
        {"image_id": 7, "segmentation": coded(BOX), "score": 0.9, "category_id": 1},
        {"image_id": "t1.jpg", "segmentation": [[10, 3, 31, 3, 31, 20, 10, 20]], "score": 0.2},
        {"image_id": "other", "segmentation": coded(BOX), "score": 0.9},
    ]
    file = results(tmp_path / "results.json", masks)
    (notice,) = CocoResults().check(file, catalogue, catalogue.ids("train"))
    assert "other" in notice.text
    read = CocoResults().bind(file, catalogue)
    for id in ("000000000007", "t1"):
        np.testing.assert_array_equal(read(id).masks, [BOX])
    assert not len(read("v0").masks)
    assert not len(CocoResults(least_score=0.5).bind(file, catalogue)("t1").masks)
    listed = {"images": [{"id": 3, "file_name": "v0.png"}], "annotations": [masks[0] | {"image_id": 3}]}
    named = results(tmp_path / "named.json", listed)
    np.testing.assert_array_equal(CocoResults().bind(named, catalogue)("v0").masks, [BOX])


def test_bad_results_are_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        CocoResults().check(tmp_path / "none.json", catalogue, ["t1"])
    with pytest.raises(DataError, match="expected COCO results"):
        CocoResults().check(results(tmp_path / "a.json", {"images": []}), catalogue, ["t1"])
    strangers = results(tmp_path / "b.json", [{"image_id": 99, "segmentation": coded(BOX), "score": 0.5}])
    with pytest.raises(DataError, match=r"found none of them\. image_id there are such as 99"):
        CocoResults().check(strangers, catalogue, ["t1"])
    percent = results(tmp_path / "c.json", [{"image_id": "t1", "segmentation": coded(BOX), "score": 55}])
    with pytest.raises(DataError, match=r"scores in \[0,1\], found 55"):
        CocoResults().bind(percent, catalogue)("t1")
    images = [{"id": 1, "file_name": "t1.png"}, {"id": 1, "file_name": "v0.png"}]
    twice = results(tmp_path / "d.json", {"images": images, "annotations": []})
    with pytest.raises(DataError, match=r"an id of its own for each image, found 1 twice: 't1.png' and 'v0.png'"):
        CocoResults().check(twice, catalogue, ["t1"])


def test_regions_are_a_partition(catalogue: Catalogue) -> None:
    options = {"method": "slic", "count": 6}
    found = RegionMaps(**options).bind(Path("any"), catalogue)("t1")
    assert (found.masks.sum(0) == 1).all()
    assert (found.scores == 1).all()
    regions = RegionSource(RegionOptions(**options), catalogue)("t1")
    np.testing.assert_array_equal(found.masks.argmax(0), regions)
    with pytest.raises(ConfigurationError, match="expected file: maps with regions of that folder, found others"):
        RegionMaps(method="files", folder="maps").check(Path("others"), catalogue, ["t1"])


@pytest.mark.parametrize(("turned", "size"), [(3, (40, 60)), (6, (60, 40))])
def test_regions_that_are_kept_are_those_of_the_orientation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned: int, size: tuple[int, int]
) -> None:
    """One file, whose EXIF says how it is turned: as its pixels are stored, then as it is seen."""
    monkeypatch.chdir(tmp_path)
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:10, :20] = 255
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x112] = turned
    picture.save("q.png", exif=exif)
    options = RegionOptions("felzenszwalb")
    for upright, shape in ((False, (40, 60)), (True, size)):
        entries = {"q": CatalogueImage("q", "q.png", shape, None, sha256(Path("q.png").read_bytes()).hexdigest())}
        catalogue = Catalogue("d", ("cat",), {"train": ("q",)}, entries, root="./", upright=upright)
        right = oversegment(catalogue.image("q"), options)
        for _ in ("made", "kept"):
            np.testing.assert_array_equal(RegionSource(options, catalogue)("q"), right)
    (kept,) = Path(".scratch/regions").iterdir()
    assert sorted(path.name.removeprefix(entries["q"].sha256) for path in kept.iterdir()) == [
        "_stored.npz",
        "_upright.npz",
    ]
