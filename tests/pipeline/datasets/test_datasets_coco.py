"""The reader coco: masks counted by hand, and everything that can be wrong with its files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as pycoco
from pydantic import ValidationError

from models.errors import ConfigurationError, DataError
from models.ops.run_lengths import region_of_runs
from pipeline.annotations.build import annotate_catalogue
from pipeline.book.signatures import options_model
from pipeline.datasets import READERS, rle
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.coco import coco
from pipeline.datasets.ground_truth import GroundTruth
from tests.helpers.coco_folder import HEIGHT, PAINTED, SINGLE, WIDTH, annotation, runs, square, write_coco

TINY = os.environ.get("WEAK2MASK_TINY_COCO", "")
DOG, CAR, PERSON = 3, 2, 1


def make(tmp_path: Path, bad: str = "stop", workers: int = 1, **options: object) -> tuple[Catalogue, GroundTruth]:
    places = tmp_path / "c" / "coco", tmp_path / "g" / "coco"
    settings = {"root": str(tmp_path / "coco"), **options}
    make_catalogue("coco", *places, settings, on_bad_image=bad, workers=workers)  # type: ignore[arg-type]
    catalogue = Catalogue.load(places[0])
    return catalogue, GroundTruth(catalogue, places[1])


def message_of(tmp_path: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        make(tmp_path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def row(truth: GroundTruth, id: str = "000000000009") -> list[int]:
    mask = truth.mask(id)
    assert (mask == mask[0]).all()
    return [int(value) for value in mask[0]]


def test_ids_classes_tags_and_boxes(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    catalogue, truth = make(tmp_path)
    assert catalogue.class_names == ("person", "car", "dog")
    assert catalogue.ids("train") == ("000000000009", "000000000025", "000000000030")
    assert catalogue.ids("val") == ("000000000042",)
    assert [catalogue.entry(id).tags for id in catalogue.entries] == [(1, 2, 3), (2,), (), (3,)]
    assert truth.boxes("000000000025").tolist() == [[2, 2, 6, 8], [10, 2, 14, 8]]  # type: ignore[union-attr]
    assert truth.boxes("000000000009") is None
    assert catalogue.image("000000000042").shape == (HEIGHT, WIDTH, 3)


def test_later_annotations_cover_earlier_ones(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    _, truth = make(tmp_path)
    assert row(truth) == [DOG] * 5 + [PERSON] * 5 + [255] * 6 + [0] * 4
    mask = truth.mask("000000000025")
    assert (mask == CAR).sum() == 2 * 4 * 6
    assert (mask[2:8, 2:6] == CAR).all()
    assert not truth.mask("000000000030").any()


@pytest.mark.parametrize(("crowd", "last"), [("void", [255] * 6), ("skip", [0] * 6), ("paint", [CAR] * 6)])
def test_crowds(tmp_path: Path, crowd: str, last: list[int]) -> None:
    write_coco(tmp_path / "coco")
    _, truth = make(tmp_path, crowd=crowd)
    covered = [CAR] * 2 if crowd == "paint" else [PERSON] * 2
    assert row(truth) == [DOG] * 5 + [PERSON] * 3 + covered + last + [0] * 4


def test_options_are_checked_before_anything_runs() -> None:
    options = options_model(READERS["coco"])
    for wrong in ({"crowd": "vold"}, {"without_objects": "drop"}, {"splits": ["train2014"]}, {"download": "yes"}):
        with pytest.raises(ValidationError):
            options(**wrong)


def test_kept_classes_are_renumbered_and_others_are_void(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    catalogue, truth = make(tmp_path, classes=["dog", "car"], crowd="paint")
    assert row(truth) == [1] * 5 + [255] * 3 + [2] * 8 + [0] * 4
    assert catalogue.entry("000000000009").tags == (1, 2)
    with pytest.raises(ConfigurationError, match="Did you mean 'dog'"):
        make(tmp_path, classes=["dogg"])


def test_instances_are_objects_of_their_own(tmp_path: Path) -> None:
    touching = [annotation(1, 9, 18, square(0, 0, 5, 10)), annotation(2, 9, 18, square(5, 0, 10, 10))]
    write_coco(tmp_path / "coco", {"train2014": touching}, {"train2014": (9,)})
    catalogue, truth = make(tmp_path, splits={"train": "train2014"})
    assert truth.instances("000000000009")[0].tolist() == [1] * 5 + [2] * 5 + [0] * 10  # type: ignore[index]
    [(_, boxes)] = annotate_catalogue("boxes", catalogue, truth, ["000000000009"], {})
    assert boxes.boxes is not None
    assert boxes.boxes.tolist() == [[0, 0, 5, 10], [5, 0, 10, 10]]


def test_images_without_objects_and_lists(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    catalogue, _ = make(tmp_path, without_objects="skip")
    assert catalogue.ids("train") == ("000000000009", "000000000025")
    catalogue, _ = make(tmp_path, without_objects="skip", classes=["dog"])
    assert catalogue.ids("train") == ("000000000009",)
    names = tmp_path / "list.txt"
    names.write_text("COCO_train2014_000000000025\n9\n000000000030.jpg\n")
    catalogue, _ = make(tmp_path, lists={"train": str(names)})
    assert catalogue.ids("train") == ("000000000025", "000000000009", "000000000030")
    names.write_text("9\n77\n")
    assert "list.txt line 2: expected an image of" in message_of(tmp_path, lists={"train": str(names)})
    with pytest.raises(ConfigurationError, match="Did you mean 'train'"):
        make(tmp_path, lists={"trian": str(names)})


@pytest.mark.parametrize("folder", ["Images", "images", "images/{split}", "JPEGImages", "elsewhere"])
@pytest.mark.parametrize("naming", ["COCO_{split}_{number:012d}.jpg", "{number:012d}.jpg"])
def test_images_in_other_folders(tmp_path: Path, folder: str, naming: str) -> None:
    for split, numbers in {"train2014": (9, 25, 30), "val2014": (42,)}.items():
        every = {"train2014": PAINTED + SINGLE, "val2014": []}
        write_coco(tmp_path / "coco", every, {split: numbers}, folder.format(split=split), naming)
    named = {"images": {"train": folder, "val": folder}} if folder == "elsewhere" else {}
    catalogue, truth = make(tmp_path, **named)
    assert len(catalogue.entries) == 4
    assert DOG in truth.mask("000000000009")


def test_everything_that_is_wrong_is_said_together(tmp_path: Path) -> None:
    wrong = [
        annotation(1, 9, 99, square(0, 0, 5, 5)),
        annotation(2, 999, 1, square(0, 0, 5, 5)),
        annotation(3, 9, 1, square(30, 0, 35, 5)),
        annotation(4, 9, 1, square(0, 0, 1e9, 5)),
        annotation(5, 9, 1, [[1, 1, 2, 2]]),
        annotation(6, 9, 1, []),  # and no bbox either
        annotation(7, 9, 1, {"size": [HEIGHT, WIDTH], "counts": [3, 4]}, crowd=True),
        annotation(8, 9, 1, {"size": [HEIGHT, WIDTH], "counts": "zz~"}, crowd=True),
        annotation(9, 9, 1, [["x", 1, 2, 2, 3, 3]]),
        annotation(10, 9, 1, square(0, 0, float("nan"), 5)),
        "nothing",
    ]
    root = write_coco(tmp_path / "coco", {"train2014": wrong}, {"train2014": (9, 25, 30, 31, 32)})
    change(root, 2, height=0)
    change(root, 3, width=21)
    change(root, 4, file_name="../../evil.jpg")
    (root / "train2014" / "COCO_train2014_000000000025.jpg").unlink()
    message = message_of(tmp_path, splits={"train": "train2014"})
    for expected in (
        "annotation 1: expected a category of the file, found category_id 99",
        "annotation 2: expected an image of the file, found image_id 999",
        "annotation 3: expected polygons that touch an image of 10 x 20 (H x W), found x 30 to 35, y 0 to 5",
        "annotation 4: expected polygons near an image of 10 x 20 (H x W), found x 0 to 1e+09, y 0 to 5",
        "annotation 5: expected a segmentation of polygons or run lengths, or a bbox, found a polygon without three",
        "annotation 6: expected a segmentation of polygons or run lengths, or a bbox, found []",
        "annotation 7: expected run lengths of 10 x 20 (H x W), found run lengths that add up to 7",
        "annotation 8: expected a segmentation of polygons or run lengths, found text that is no",
        "annotation 9: expected a segmentation",
        "annotation 10: expected polygons near",
        "annotations[10]: expected an annotation with id, found nothing",
        "image 30: expected an image with height and width in pixels, found 0 x 20",
        "image 31: expected an image of the listed size (10, 21) (H x W), found 10 x 20",
        "coco/train2014/evil.jpg: expected an image file, found no such file",
        "COCO_train2014_000000000025.jpg: expected an image file, found no such file",
    ):
        assert expected in message, expected
    assert not (tmp_path / "c" / "coco").exists()
    assert not list(tmp_path.rglob("evil*"))
    with pytest.raises(DataError, match="No good image is left"):
        make(tmp_path, bad="skip", splits={"train": "train2014"})


def test_skip_leaves_images_with_bad_annotations_out(tmp_path: Path) -> None:
    bad = [*PAINTED, *SINGLE, annotation(9, 25, 3, square(90, 0, 95, 5))]
    write_coco(tmp_path / "coco", {"train2014": bad}, {"train2014": (9, 25, 30)})
    catalogue, _ = make(tmp_path, bad="skip", splits={"train": "train2014"})
    assert catalogue.ids("train") == ("000000000009", "000000000030")
    assert "annotation 9: expected polygons" in catalogue.left_out["000000000025"]


def test_files_of_another_kind(tmp_path: Path) -> None:
    assert "instances_train2014.json: expected COCO's annotations, found no such file" in message_of(tmp_path)
    root = write_coco(tmp_path / "coco")
    path = root / "annotations" / "instances_val2014.json"
    whole = path.read_text()
    path.write_text(whole[:50])
    assert "instances_val2014.json: expected COCO's annotations, found damaged JSON" in message_of(tmp_path)
    path.write_text('{"images": []}')
    assert "found no list `annotations`, `categories` (keys: images)" in message_of(tmp_path)
    path.write_text(whole.replace("person", "human"))
    assert "expected the categories of the other splits" in message_of(tmp_path)


def test_a_failed_download_names_the_local_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", refuse)
    with pytest.raises(DataError, match=r"Name or service not known(.|\n)*by hand(.|\n)*download: false"):
        coco(str(tmp_path), download=True)
    with pytest.raises(ConfigurationError, match="Did you mean 'train2014'"):
        coco(str(tmp_path), download=True, splits={"train": "train214"})


def test_a_download_moves_whole_archives_into_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_coco(tmp_path / "elsewhere")

    def unpack(url: str, root: str, extract_root: str, **_: object) -> None:
        folder = "annotations" if "annotations" in url else url.rpartition("/")[2].removesuffix(".zip")
        (made / folder).rename(Path(extract_root, folder)) if Path(extract_root).mkdir() is None else None

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", unpack)
    (tmp_path / "coco").mkdir()
    catalogue, _ = make(tmp_path, download=True)
    assert len(catalogue.entries) == 4
    assert sorted(path.name for path in (tmp_path / "coco").iterdir()) == ["annotations", "train2014", "val2014"]
    make(tmp_path, download=True)


@pytest.mark.parametrize(
    ("folder", "options"),
    [
        (None, {}),
        ("images/train2014", {}),
        ("images", {}),
        (".", {}),
        ("pictures", {}),
        ("pictures", {"images": {"train": "pictures"}}),
    ],
)
def test_images_that_are_there_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None, options: dict[str, object]
) -> None:
    def unpack(url: str, *_: object, **__: object) -> None:
        raise AssertionError(f"{url} is not to be fetched")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", unpack)
    write_coco(
        tmp_path / "coco", {"train2014": [annotation(1, 9, 18, square(0, 0, 5, 8))]}, {"train2014": (9,)}, folder
    )
    catalogue, _ = make(tmp_path, download=True, splits={"train": "train2014"}, **options)
    assert catalogue.ids("train") == ("000000000009",)


def test_images_of_another_split_are_not_those_that_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """images/ holds train2014's alone; val2014's are fetched to where the user says that they are."""
    write_coco(tmp_path / "coco", folder="images")
    (tmp_path / "coco/images/COCO_val2014_000000000042.jpg").rename(tmp_path / "kept.jpg")

    def unpack(url: str, root: str, extract_root: str, **_: object) -> None:
        assert url.endswith("val2014.zip")
        (Path(extract_root) / "val2014").mkdir(parents=True)
        shutil.copyfile(tmp_path / "kept.jpg", Path(extract_root) / "val2014/COCO_val2014_000000000042.jpg")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", unpack)
    catalogue, _ = make(tmp_path, download=True, images={"val": "photos/val"})
    assert catalogue.entry("000000000042").image == "photos/val/COCO_val2014_000000000042.jpg"
    assert len(catalogue.entries) == 4
    (tmp_path / "coco/photos/val/COCO_val2014_000000000042.jpg").unlink()
    (tmp_path / "coco/photos/val").rmdir()
    assert make(tmp_path, download=True)[0].entry("000000000042").image == "val2014/COCO_val2014_000000000042.jpg"


def test_the_same_bytes_in_several_processes(tmp_path: Path) -> None:
    numbers = tuple(range(1, 50))
    many = [annotation(k, k, (1, 3, 18)[k % 3], square(k % 9, 0, k % 9 + 5, 8)) for k in numbers]
    write_coco(tmp_path / "coco", {"train2014": many}, {"train2014": numbers})
    found = []
    for workers in (1, 2):
        catalogue, truth = make(tmp_path, workers=workers, splits={"train": "train2014"})
        found.append((catalogue.digest, [truth.mask(id).tobytes() for id in catalogue.ids("train")]))
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_agree_with_pycocotools(seed: int) -> None:
    region = np.random.default_rng(seed).random((17, 23)) < (0.02, 0.3, 0.5, 0.9, 1.0)[seed]
    text, box = rle.encoded(region)
    assert (region_of_runs(rle.runs_of_text(text), region.shape) == region).all()
    assert box == pycoco.toBbox(pycoco.encode(np.asfortranarray(region, np.uint8))).tolist()
    corners = runs(2, 1, 6, 9)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[1:9, 2:6] = True
    assert (region_of_runs(np.array(corners["counts"]), (HEIGHT, WIDTH)) == expected).all()
    assert (pycoco.decode(pycoco.frPyObjects(corners, HEIGHT, WIDTH)) == expected).all()


@pytest.mark.skipif(not TINY, reason="WEAK2MASK_TINY_COCO names no folder of real COCO images")
def test_real_coco_images(tmp_path: Path) -> None:
    """Every pixel of an object without others over it is as pycocotools' own reader has it."""
    from pycocotools.coco import COCO

    splits = {"train": "train2017", "val": "val2017"}
    catalogue, truth = make(tmp_path, root=TINY, splits=splits, crowd="paint")
    assert {name: len(ids) for name, ids in catalogue.splits.items()} == {"train": 32, "val": 6}
    assert catalogue.num_classes == 80
    theirs = COCO(f"{TINY}/annotations/instances_train2017.json")
    labels = {id: k for k, id in enumerate(sorted(theirs.getCatIds()), start=1)}
    for number in theirs.getImgIds():
        entry = theirs.loadImgs(number)[0]
        expected = np.zeros((entry["height"], entry["width"]), np.uint8)
        for one in theirs.imgToAnns[number]:
            expected[theirs.annToMask(one) == 1] = labels[one["category_id"]]
        assert (truth.mask(f"{number:012d}") == expected).all()


def change(root: Path, image: int, **entries: Any) -> None:
    path = root / "annotations" / "instances_train2014.json"
    content = json.loads(path.read_text())
    content["images"][image].update(entries)
    path.write_text(json.dumps(content))
