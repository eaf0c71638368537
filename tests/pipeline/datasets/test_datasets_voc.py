from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from models.errors import ConfigurationError, DataError
from pipeline.annotations.build import annotate_catalogue
from pipeline.datasets.voc import VOC_CLASSES, voc
from pipeline.datasets.voc_download import PARTS_OF_SBD
from tests.helpers.voc_folder import CAT, DOG, make, write_devkit

SHARED = Path(os.environ.get("WEAK2MASK_SHARED", Path(__file__).parents[3].parent / "shared"))
VOC_MINI = SHARED / "data" / "voc_mini"


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    return write_devkit(tmp_path)


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_the_root_may_be_any_of_three_folders(devkit: Path, tmp_path: Path, below: str) -> None:
    catalogue, _ = make(tmp_path, root=str(tmp_path / below))
    assert catalogue.ids("train") == ("a", "b")
    assert catalogue.ids("val") == ("c",)
    assert catalogue.class_names == VOC_CLASSES


def test_kept_classes_are_renumbered_and_others_are_void(devkit: Path, tmp_path: Path) -> None:
    _, truth = make(tmp_path, classes=["dog"])
    assert truth.mask("b")[1].tolist() == [255, 255, 1, 1, 0, 0, 0, 0]
    _, truth = make(tmp_path, classes=["dog", "cat"])
    assert truth.mask("b")[1].tolist() == [2, 2, 1, 1, 0, 0, 0, 0]
    assert (truth.mask("b")[0] == 255).all()


def test_tags_of_a_label_file(devkit: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"labels": {"a": [CAT], "b": [CAT, DOG], "c": [DOG]}}))
    catalogue, _ = make(tmp_path, classes=["dog"], labels=str(labels))
    assert [catalogue.entries[id].tags for id in "abc"] == [(), (1,), (1,)]
    with pytest.raises(ConfigurationError, match="Did you mean 'labels'"):
        make(tmp_path, labels=str(labels), labels_key="label")


def test_an_image_without_labels_is_reported(devkit: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"labels": {"a": [CAT], "b": [99]}}))
    with pytest.raises(DataError) as error:
        make(tmp_path, labels=str(labels))
    assert "val.txt line 1: expected image labels" in str(error.value)
    assert "'b': expected classes 1..20, found [99]" in str(error.value)


def test_tags_of_xml_leave_difficult_objects_out(devkit: Path, tmp_path: Path) -> None:
    (devkit / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
    objects = f"<object><name>cat</name><difficult>0</difficult>{box}</object>"
    objects += f"<object><name>dog</name><difficult>1</difficult>{box}</object>"
    for id in "abc":
        (devkit / "Annotations" / f"{id}.xml").write_text(f"<annotation>{objects}</annotation>")
    catalogue, _ = make(tmp_path, classes=["cat", "dog"])
    assert catalogue.entries["b"].tags == (1,)


def test_without_labels_an_image_has_no_tags(devkit: Path, tmp_path: Path) -> None:
    catalogue, _ = make(tmp_path)
    assert catalogue.entries["a"].tags is None


def test_a_split_without_any_mask_is_a_test_set(devkit: Path, tmp_path: Path) -> None:
    (devkit / "SegmentationClass" / "c.png").unlink()
    catalogue, truth = make(tmp_path)
    assert catalogue.ids("val") == ("c",)
    with pytest.raises(DataError, match="no ground-truth mask"):
        truth.mask("c")


def test_masks_of_another_folder_are_one_message_and_not_one_for_each_image(devkit: Path, tmp_path: Path) -> None:
    (devkit / "ImageSets/Segmentation/train.txt").write_text("a\nd\ne\n")
    with pytest.raises(ConfigurationError, match=r"2 of 3 images of split 'train' have no mask in .*such as d\. Set"):
        make(tmp_path)


def test_every_bad_image_is_in_one_message(devkit: Path, tmp_path: Path) -> None:
    (devkit / "JPEGImages" / "a.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(devkit / "SegmentationClass" / "b.png")
    Image.fromarray(np.full((6, 8), 77, np.uint8)).save(devkit / "SegmentationClass" / "c.png")
    (devkit / "ImageSets/Segmentation/train.txt").write_text("a\nb\nb\n../evil\nghost\n")
    with pytest.raises(DataError) as error:
        make(tmp_path)
    message = str(error.value)
    for part in (
        "a.jpg: expected an image file, found an empty file (0 bytes)",
        "b.png: expected the size of its image, 6 x 8 (H x W), found 3 x 3",
        "c.png: expected values 0..20 or 255 (void), found 77 (48 pixels)",
        "train.txt line 3: expected each id once in split 'train', found 'b' 2 times",
        "train.txt line 4: expected an id without path separators or '..', found '../evil'",
        "ghost.jpg: expected an image file, found no such file",
        "ghost.png: expected a PNG of indices, found no such file",
    ):
        assert part in message
    assert not (tmp_path / "c" / "voc").exists()
    assert not list((tmp_path / "c").iterdir())


def test_skip_leaves_bad_images_out_and_remembers_why(devkit: Path, tmp_path: Path) -> None:
    (devkit / "JPEGImages" / "a.jpg").write_bytes(b"")
    catalogue, _ = make(tmp_path, on_bad_image="skip")
    assert catalogue.ids("train") == ("b",)
    assert list(catalogue.left_out) == ["a"]
    assert "0 bytes" in catalogue.left_out["a"]
    with pytest.raises(DataError, match="It was left out"):
        catalogue.size("a")


def test_names_are_checked(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'cat'"):
        make(tmp_path, classes=["catt"])
    with pytest.raises(ConfigurationError, match="Did you mean 'train'"):
        make(tmp_path, splits={"train": "trian"})
    with pytest.raises(ConfigurationError, match="Did you mean 'SegmentationClass'"):
        make(tmp_path, masks="SegmentationClas")
    with pytest.raises(ConfigurationError, match="found twice: cat"):
        make(tmp_path, classes=["cat", "cat"])
    with pytest.raises(DataError, match="download: true"):
        voc(str(tmp_path / "nowhere"))


UNPACK = "torchvision.datasets.utils.download_and_extract_archive"


def test_a_failed_download_names_the_local_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(UNPACK, refuse)
    with pytest.raises(DataError, match=r"Name or service not known(.|\n)*by hand(.|\n)*download: false"):
        voc(str(tmp_path), download=True)


def test_a_download_makes_the_train_aug_list(devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SBD has masks for c (a VOC val id, to be left out), b (VOC's own counts) and d (new)."""

    class SBD(list[tuple[None, Image.Image]]):
        url, filename, md5 = "https://none/sbd", "sbd.tgz", "0"

        def __init__(self, *_: object, image_set: str, **__: object) -> None:
            ids = {"train": ["b", "c"], "val": ["d"]}[image_set]
            self.masks = [f"cls/{id}.mat" for id in ids]
            super().__init__((None, Image.fromarray(np.full((6, 8), 3, np.uint8))) for _ in ids)

    (devkit / "ImageSets/Segmentation/val.txt").write_text("c\n")
    Image.new("RGB", (8, 6)).save(devkit / "JPEGImages" / "d.jpg")
    fetched = []

    def unpack(url: str, root: str, extract_root: str, **_: object) -> None:
        fetched.append(url)
        for part in PARTS_OF_SBD:
            (Path(extract_root) / "benchmark_RELEASE" / "dataset" / part).mkdir(parents=True)
        Path(root).mkdir()

    monkeypatch.setattr("torchvision.datasets.SBDataset", SBD)
    monkeypatch.setattr(UNPACK, unpack)
    splits = {"train": "train_aug", "val": "val"}
    catalogue, truth = make(tmp_path, download=True, splits=splits, masks="SegmentationClassAug")
    assert catalogue.ids("train") == ("a", "b", "d")
    assert fetched == [SBD.url]
    make(tmp_path, download=True, splits=splits, masks="SegmentationClassAug")
    assert fetched == [SBD.url], "what is there is not fetched again"
    assert (truth.mask("d") == 3).all()
    assert CAT in truth.mask("b")


def no_network(*_: object, **__: object) -> None:
    raise AssertionError("nothing is to be fetched")


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_a_voc_that_is_there_is_not_fetched(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    monkeypatch.setattr(UNPACK, no_network)
    catalogue, _ = make(tmp_path, root=str(tmp_path / below), download=True)
    assert catalogue.ids("train") == ("a", "b")


def test_masks_and_sbd_that_are_there_are_not_fetched(
    devkit: Path, sbd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UNPACK, no_network)
    catalogue, _ = make(tmp_path, splits=AUG, sbd=str(sbd), download=True)
    assert catalogue.ids("train") == ("a", "b", "d")
    shutil.copytree(devkit / "SegmentationClass", devkit / "SegmentationClassAug")
    shutil.copyfile(devkit / "SegmentationClass/a.png", devkit / "SegmentationClassAug/d.png")
    catalogue, _ = make(tmp_path, splits=AUG, masks="SegmentationClassAug", download=True)
    assert catalogue.ids("train") == ("a", "b", "d")


def test_a_voc_archive_is_unpacked_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(url: str, root: str, extract_root: str, **_: object) -> None:
        write_devkit(Path(extract_root))
        if "interrupted" in root:
            raise OSError("no space left")

    monkeypatch.setattr(UNPACK, unpack)
    with pytest.raises(DataError, match="no space left"):
        voc(str(tmp_path / "interrupted"), download=True)
    assert list((tmp_path / "interrupted").iterdir()) == []
    assert make(tmp_path, root=str(tmp_path / "whole"), download=True)[0].ids("train") == ("a", "b")
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["VOCdevkit"]


def test_a_voc_that_was_unpacked_half_way_names_what_it_lacks(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UNPACK, no_network)
    (devkit / "SegmentationClass/b.png").unlink()
    with pytest.raises(
        DataError, match=r"without 1 of 3 masks \(SegmentationClass/b\.png\)\..*Remedy: remove or rename"
    ):
        make(tmp_path, splits=AUG, download=True)
    shutil.rmtree(devkit / "SegmentationClass")
    with pytest.raises(DataError, match=r"VOC2012: expected a whole folder.* without SegmentationClass/\. "):
        make(tmp_path, download=True)
    shutil.rmtree(devkit / "JPEGImages")
    with pytest.raises(DataError, match="without JPEGImages/ and ImageSets/"):
        make(tmp_path, download=True)


@pytest.fixture
def sbd(devkit: Path, tmp_path: Path) -> Path:
    """SBD as published: c (a VOC val id), b (VOC's own mask counts) and d, all of class 3; VOC knows d's image."""
    folder = tmp_path / "SBD" / "benchmark_RELEASE" / "dataset" / "cls"
    folder.mkdir(parents=True)
    (devkit / "ImageSets/Segmentation/val.txt").write_text("c\n")
    Image.new("RGB", (8, 6)).save(devkit / "JPEGImages" / "d.jpg")
    cell = np.zeros((1, 1), [("Boundaries", "O"), ("Segmentation", "O"), ("CategoriesPresent", "O")])
    cell[0, 0]["Segmentation"] = np.full((6, 8), 3, np.uint8)
    for id in "bcd":
        savemat(folder / f"{id}.mat", {"GTcls": cell})
    return tmp_path / "SBD"


AUG = {"train": "train_aug", "val": "val"}


@pytest.mark.parametrize("below", ["", "benchmark_RELEASE/dataset", "benchmark_RELEASE/dataset/cls"])
def test_a_local_sbd_makes_train_aug(devkit: Path, sbd: Path, tmp_path: Path, below: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    catalogue, truth = make(tmp_path, splits=AUG, sbd=str(sbd / below))
    assert catalogue.splits == {"train": ("a", "b", "d"), "val": ("c",)}
    assert (truth.mask("d") == 3).all()
    assert truth.mask("b")[1].tolist() == [CAT, CAT, DOG, DOG, 0, 0, 0, 0]
    assert DOG in truth.mask("c")
    made = {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - set(before)}
    assert made == {"c", "g"}, "the data set's own folders are left as they are"
    [(_, tags), *_] = annotate_catalogue("tags", catalogue, truth, ["d"], {})
    assert np.flatnonzero(tags.tags).tolist() == [2]


def test_segmentation_class_aug_as_it_is_shared(devkit: Path, sbd: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "shared" / "SegmentationClassAug", devkit / "SegmentationClassAug"):
        folder.mkdir(parents=True)
        for id in "abcd":
            Image.fromarray(np.full((6, 8), 7, np.uint8)).save(folder / f"{id}.png")
    catalogue, truth = make(tmp_path, splits=AUG, sbd=str(tmp_path / "shared"))
    assert catalogue.ids("train") == ("a", "b", "d")
    assert 7 not in truth.mask("a")
    assert (truth.mask("d") == 7).all()
    catalogue, truth = make(tmp_path, splits=AUG, masks="SegmentationClassAug")
    assert catalogue.ids("train") == ("a", "b", "d")
    assert (truth.mask("a") == 7).all()


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".PNG"])
def test_masks_of_voc_in_other_formats_beside_sbd(devkit: Path, sbd: Path, tmp_path: Path, suffix: str) -> None:
    for path in sorted((devkit / "SegmentationClass").iterdir()):
        Image.open(path).save(
            path.with_suffix(".tmp"), "png" if suffix == ".PNG" else suffix.replace(".tif", ".tiff")[1:]
        )
        path.unlink()
        path.with_suffix(".tmp").rename(path.with_suffix(suffix))
    catalogue, truth = make(tmp_path, splits=AUG, sbd=str(sbd))
    assert catalogue.splits == {"train": ("a", "b", "d"), "val": ("c",)}
    assert truth.mask("b")[1].tolist() == [CAT, CAT, DOG, DOG, 0, 0, 0, 0]
    assert (truth.mask("d") == 3).all()


def test_what_is_wrong_with_sbd(devkit: Path, sbd: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected SBD's masks"):
        make(tmp_path, sbd=str(tmp_path / "nowhere"))
    (sbd / "benchmark_RELEASE/dataset/cls/d.mat").write_bytes(b"no mat")
    names = tmp_path / "mine.txt"
    names.write_text("a\nd\nghost\n../../../evil\n")
    with pytest.raises(DataError) as error:
        make(tmp_path, splits={"train": str(names)}, sbd=str(sbd))
    for part in ("d.mat: expected a .mat file of SBD", "mine.txt line 3: expected a mask of VOC", "id without path"):
        assert part in str(error.value), part


@pytest.mark.skipif(not VOC_MINI.is_dir(), reason="no real VOC images here")
def test_real_voc_images(tmp_path: Path) -> None:
    six = ["cat", "cow", "dog", "horse", "person", "sheep"]
    listing = voc(
        str(VOC_MINI),
        splits={"train": "train_six", "val": "val_six"},
        classes=six,
        labels=str(VOC_MINI / "image_labels.json"),
    )
    assert {name: len(items) for name, items in listing.splits.items()} == {"train": 474, "val": 200}
    assert not listing.problems
    assert listing.mask_values == (8, 10, 12, 13, 15, 17)
    assert all(item.tags and max(item.tags) <= 6 for item in listing.splits["train"])
