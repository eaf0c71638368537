"""Images and masks that tables and folders call otherwise: taken where it can mean one only, else counted and named."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.file_names import NameIndex
from pipeline.datasets.folder import folder
from pipeline.datasets.listing import Listing
from pipeline.problems.notices import read_notices


def make(root: Path, images: Sequence[str], rows: Sequence[str] | None = None, masks: Sequence[str] = ()) -> Path:
    """A folder with these images, these lines of a CSV (by default each image is a cat) and these masks of 1."""
    for name in images:
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), "red").save(root / "images" / name)
    lines = rows if rows is not None else ["image,tags", *(f"{name},cat" for name in images)]
    (root / "tags.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name in masks:
        (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ones((4, 6), np.uint8)).save(root / "masks" / name)
    return root


def notice_of(listing: Listing, topic: str) -> str:
    """The text of a notice; "" where there is none."""
    return next((notice.text for notice in listing.notices if notice.topic == topic), "")


def found(listing: Listing) -> dict[str, str | None]:
    """Id -> mask of all images."""
    return {item.id: item.mask for items in listing.splits.values() for item in items}


STEMS = [f"s{k}" for k in range(6)]
IMAGES = [f"{stem}.jpg" for stem in STEMS]


@pytest.mark.parametrize(
    "pattern",
    [
        "{}.PNG", "{}_mask.png", "{}-mask.png", "{}.mask.png", "{}_Mask.png", "{}.png.png", "{}.jpg.png", "{}.tif",
        "{}.bmp", "{}.TIFF", "{}_label.png", "{}_labels.png", "{}_seg.png", "{}_segmentation.png", "{}_gt.png",
        "{}_L.png", "mask_{}.png", "label-{}.png", "gt_{}.png", "{}_mask.gif", "{}_gtFine_labelIds.png", "{}mask.png",
        "{}_segmentation_mask.png", "{}.jpg_mask.png", "sub/{}.png", "{}_1stHO.png",
    ],
)  # fmt: skip
def test_masks_called_by_one_rule_are_taken_and_it_is_said(tmp_path: Path, pattern: str) -> None:
    listing = folder(str(make(tmp_path, IMAGES, masks=[pattern.format(stem) for stem in STEMS])), masks="masks")
    assert found(listing) == {stem: f"masks/{pattern.format(stem)}" for stem in STEMS}
    assert not listing.problems
    assert notice_of(listing, "masks_called_otherwise") or notice_of(listing, "masks_of_other_suffix")


def test_masks_as_documented_are_taken_without_a_word(tmp_path: Path) -> None:
    listing = folder(str(make(tmp_path, IMAGES, masks=[f"{stem}.png" for stem in STEMS])), masks="masks")
    assert found(listing) == {stem: f"masks/{stem}.png" for stem in STEMS}
    assert not listing.notices


@pytest.mark.parametrize("pattern", ["x{}y.png", "{}_instances_of.png", "frame{}0.png"])
def test_masks_that_belong_to_no_image_are_refused(tmp_path: Path, pattern: str) -> None:
    root = make(tmp_path, IMAGES, masks=[pattern.format(stem) for stem in STEMS])
    with pytest.raises(DataError, match=r"none of the 6 files of masks belongs to an image.*nearest image: s0.*Remedy"):
        folder(str(root), masks="masks")


def test_some_masks_without_an_image_and_images_without_a_mask_are_counted(tmp_path: Path) -> None:
    root = make(tmp_path, IMAGES, masks=[*(f"{stem}.png" for stem in STEMS[1:]), "frog.png", "s0_front.png"])
    listing = folder(str(root), masks="masks", val_fraction=0)
    assert found(listing)["s0"] is None
    assert "2 of 7 files" in notice_of(listing, "masks_without_image")
    assert "frog.png, s0_front.png (nearest image: s0)" in notice_of(listing, "masks_without_image")
    assert notice_of(listing, "images_without_mask").startswith(
        "train is not measured: 1 of 6 images has no mask (s0)."
    )


def test_images_that_masks_are_not_asked_for_get_no_word(tmp_path: Path) -> None:
    root = make(tmp_path, IMAGES, masks=["s0.png"])
    rows = ["image,tags,split", *(f"{name},cat,{'val' if name == 's0.jpg' else 'train'}" for name in IMAGES)]
    (root / "tags.csv").write_text("\n".join(rows))
    assert not folder(str(root), masks="masks").notices


def test_a_second_file_of_an_image_is_counted_and_the_documented_name_comes_first(tmp_path: Path) -> None:
    names = [name.format(stem) for stem in STEMS for name in ("{}.png", "{}_mask.png", "{}.tif")]
    listing = folder(str(make(tmp_path, IMAGES, masks=names)), masks="masks")
    assert found(listing) == {stem: f"masks/{stem}.png" for stem in STEMS}
    assert "12 of 18 files" in notice_of(listing, "masks_without_image")


def test_two_rules_that_fit_equally_well_are_refused(tmp_path: Path) -> None:
    names = [name.format(stem) for stem in STEMS for name in ("{}_mask.png", "{}_gt.png")]
    with pytest.raises(DataError, match=r"two rules of 6 images each, such as s0_gt.png and s0_mask.png"):
        folder(str(make(tmp_path, IMAGES, masks=names)), masks="masks")


def test_two_files_of_one_image_under_the_rule_are_a_problem(tmp_path: Path) -> None:
    listing = folder(str(make(tmp_path, IMAGES, masks=["s0.tif", "s0.bmp", "s1.tif"])), masks="masks")
    assert [str(problem) for problem in listing.problems] == [
        f"{tmp_path}/masks: expected one mask file for image 's0', found s0.bmp, s0.tif"
    ]


@pytest.mark.parametrize("pattern", ["{}.jpg", "{}_mask.jpeg", "{}.webp"])
def test_lossy_masks_are_refused_with_a_remedy(tmp_path: Path, pattern: str) -> None:
    root = make(tmp_path, IMAGES, masks=[pattern.format(stem) for stem in STEMS])
    with pytest.raises(DataError, match=r"found 6 JPEG or WebP files .*smeared.*export the masks again, as PNG"):
        folder(str(root), masks="masks")


def test_lossy_files_beside_masks_are_counted(tmp_path: Path) -> None:
    names = [name.format(stem) for stem in STEMS for name in ("{}.png", "{}.jpg")]
    listing = folder(str(make(tmp_path, IMAGES, masks=names)), masks="masks")
    assert found(listing) == {stem: f"masks/{stem}.png" for stem in STEMS}
    assert "6 of 12 files" in notice_of(listing, "masks_without_image")


def test_other_files_among_masks_are_counted_and_an_empty_folder_is_said(tmp_path: Path) -> None:
    root = make(tmp_path, IMAGES, masks=[f"{stem}.png" for stem in STEMS])
    (root / "masks" / "s0.json").touch()
    (root / "masks" / ".DS_Store").touch()
    assert "1 files of" in notice_of(folder(str(root), masks="masks"), "files_beside_masks")
    (root / "empty").mkdir()
    assert "no image has a mask" in notice_of(folder(str(root), masks="empty"), "masks_missing")


def test_subfolders_are_read_and_masks_mirror_them(tmp_path: Path) -> None:
    images = ["cam1/s0.png", "cam2/s0.png", "cam2/deep/s1.png", "s9.png"]
    root = make(tmp_path, images, masks=["cam1/s0.png", "cam2_s0.png", "cam2/deep/s1.png", "s9.png"])
    listing = folder(str(root), masks="masks", val_fraction=0)
    assert found(listing) == {
        "cam1_s0": "masks/cam1/s0.png",
        "cam2_s0": "masks/cam2_s0.png",
        "cam2_deep_s1": "masks/cam2/deep/s1.png",
        "s9": "masks/s9.png",
    }
    assert not listing.problems
    assert not listing.notices
    places = tmp_path / "c" / "own", tmp_path / "g" / "own"
    catalogue = make_catalogue("folder", *places, {"root": str(root), "masks": "masks"})
    assert catalogue.entries["cam1_s0"].image == "images/cam1/s0.png"
    assert catalogue.image("cam1_s0").shape == (4, 6, 3)


def test_paths_that_make_one_id_are_reported(tmp_path: Path) -> None:
    listing = folder(str(make(tmp_path, ["cam/s0.png", "cam_s0.png", "x.png"])))
    assert "one image with the name 'cam_s0', found cam/s0.png, cam_s0.png" in str(listing.problems[0])


def test_the_images_of_the_folder_itself_are_not_those_of_its_subfolders(tmp_path: Path) -> None:
    root = make(tmp_path, ["a.png"], ["image,tags", "b.png,cat"])
    Image.new("RGB", (6, 4)).save(root / "b.png")
    assert list(found(folder(str(root), images="."))) == ["b"]


@pytest.mark.parametrize("form", ["{}", "{}/", "./{}", "{}//", "./{}/."])
@pytest.mark.parametrize(("images", "below"), [("images", ""), (".", "images/"), ("images/", "")])
def test_folders_of_splits_however_they_are_written(tmp_path: Path, form: str, images: str, below: str) -> None:
    root = make(tmp_path, ["train/a.jpg", "train/deep/b.jpg", "val/c.jpg", "trainer/d.jpg"])
    folders = {split: form.format(f"{below}{split}") for split in ("train", "val")}
    listing = folder(str(root), images=images, tags=None, classes=["cat"], split_folders=folders)
    stems = {split: [item.id.rpartition("_")[2] for item in items] for split, items in listing.splits.items()}
    assert stems == {"train": ["a", "b"], "val": ["c"]}


def test_the_folder_of_the_images_may_be_a_split(tmp_path: Path) -> None:
    root = make(tmp_path, ["train/a.jpg", "b.jpg"])
    for name in (".", "./"):
        listing = folder(str(root), tags=None, classes=["cat"], split_folders={"train": name})
        assert len(listing.splits["train"]) == 2


def test_a_folder_of_a_split_in_another_unicode_form(tmp_path: Path) -> None:
    root = make(tmp_path, [unicodedata.normalize("NFD", "Köder/a.jpg")])
    listing = folder(str(root), tags=None, classes=["cat"], split_folders={"train": "Köder"})
    assert len(listing.splits["train"]) == 1


@pytest.mark.parametrize("name", ["trian", "train/a.jpg", "empty", "../images/train", "/train"])
def test_a_folder_of_a_split_without_an_image_is_refused(tmp_path: Path, name: str) -> None:
    root = make(tmp_path, ["train/a.jpg", "train/b.jpg", "val/c.jpg", "d.jpg"])
    (root / "images" / "empty").mkdir()
    with pytest.raises(DataError) as refused:
        folder(str(root), tags=None, classes=["cat"], split_folders={"train": name, "val": "val"})
    assert str(refused.value) == (
        f"{root}/images: expected images in each folder of `split_folders`, found none in '{name}' (for train). "
        "Remedy: name folders with images; these have some: . (1), train (2), val (1)."
    )


FORMS = ["NFC", "NFD"]


@pytest.mark.parametrize("file", FORMS)
@pytest.mark.parametrize("table", FORMS)
@pytest.mark.parametrize("mask", FORMS)
def test_names_compare_equal_in_every_unicode_form(tmp_path: Path, file: str, table: str, mask: str) -> None:
    stems = [f"Früchte Ä{k}" for k in range(4)]
    of = {form: [unicodedata.normalize(form, stem) for stem in stems] for form in FORMS}  # type: ignore[arg-type]
    rows = ["image,tags", *(f"{stem}.jpg,{unicodedata.normalize(table, 'Köder')};Köder" for stem in of[table])]  # type: ignore[arg-type]
    root = make(tmp_path, [f"{stem}.jpg" for stem in of[file]], rows, [f"{stem}.png" for stem in of[mask]])
    listing = folder(str(root), masks="masks", val_fraction=0)
    assert list(found(listing)) == of["NFC"]
    assert [item.image for item in listing.splits["train"]] == [f"images/{stem}.jpg" for stem in of[file]]
    assert list(found(listing).values()) == [f"masks/{stem}.png" for stem in of[mask]]
    assert listing.class_names == ("Köder",)
    assert not listing.notices
    assert not listing.problems


@pytest.mark.parametrize(
    ("cells", "exactly"),
    [
        (["s0", "s1"], True),
        (["images/s0.jpg", "./images/s1.jpg"], True),
        (["./s0.jpg", "./s1.jpg"], True),
        (["images\\s0.jpg", "images\\s1.jpg"], False),
        (["C:\\photos\\s0.jpg", "C:\\photos\\s1.jpg"], False),
        (["/home/me/data/s0.jpg", "/home/me/data/s1.jpg"], False),
        (["train/s0.jpg", "val/s1.jpg"], False),
        (["s0.png", "s1.png"], False),
        (["s0.JPG", "S1.jpg"], False),
    ],
)
def test_cells_that_can_mean_one_image_only_are_taken(tmp_path: Path, cells: list[str], exactly: bool) -> None:
    listing = folder(str(make(tmp_path, ["s0.jpg", "s1.jpg"], ["image,tags", *(f"{c},cat" for c in cells)])))
    assert list(found(listing)) == ["s0", "s1"]
    assert not listing.problems
    assert ("2 of 2 rows" in notice_of(listing, "rows_name_images_otherwise")) is not exactly


def test_numbers_that_lost_their_zeros(tmp_path: Path) -> None:
    listing = folder(str(make(tmp_path, ["0001.jpg", "0010.jpg"], ["image,tags", "1,cat", "10.0,dog"])))
    assert list(found(listing)) == ["0001", "0010"]
    assert notice_of(listing, "rows_name_images_otherwise")


def test_cells_that_can_mean_several_images_are_problems(tmp_path: Path) -> None:
    rows = ["image,tags", "b/s0.jpg,cat", "x/s1.jpg,dog", "y/s1.jpg,cat", "s2.jpg,cat", "s2.bmp,dog", "s0.gif,cat"]
    listing = folder(str(make(tmp_path, ["a/s0.jpg", "s1.jpg", "s2.jpg", "c/s0.jpg"], rows)))
    assert list(found(listing)) == ["s2"]
    lost = [str(problem) for problem in listing.problems if "expected an image of" in str(problem)]
    assert [line.split("line ")[1].split(":")[0] for line in lost] == ["2", "3", "4", "6", "7"]
    assert "Did you mean 'c/s0.jpg'" in lost[0]


def test_an_image_in_two_splits_is_found_under_two_names(tmp_path: Path) -> None:
    rows = ["image,tags,split", "s0.jpg,cat,train", "s0,cat,val", "s1.jpg,cat,val"]
    listing = folder(str(make(tmp_path, ["s0.jpg", "s1.jpg"], rows)))
    assert "expected one split for each image ('train'), found 'val'" in str(listing.problems[0])


def test_rows_of_no_image_at_all_are_refused(tmp_path: Path) -> None:
    root = make(tmp_path, IMAGES, ["image,tags", "frog_a.jpg,cat", "frog_b.jpg,cat"])
    with pytest.raises(DataError, match=r"found frog_a.jpg, frog_b.jpg; the folder.*holds s0.jpg, s1.jpg.*None agree"):
        folder(str(root))


def test_files_of_other_kinds_are_counted_by_suffix(tmp_path: Path) -> None:
    root = make(tmp_path, IMAGES, ["image,tags", *(f"{name},cat" for name in IMAGES), "raw.nef,cat"])
    for name in ("raw.nef", "b.nef", "a.pdf", "clip.mp4", "s0.txt", "README"):
        (root / "images" / name).write_bytes(b"x")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._s0.jpg"):
        (root / "images" / name).write_bytes(b"x")
    (root / "images" / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (6, 4)).save(root / "images" / ".ipynb_checkpoints" / "s0-checkpoint.jpg")
    listing = folder(str(root))
    text = notice_of(listing, "files_passed_over")
    assert text.startswith("6 files in")
    assert "2 .nef, 1 .pdf, 1 .txt, 1 without suffix" in text.replace("1 .mp4, ", "")
    assert [str(problem).split(" expected ")[1] for problem in listing.problems] == [
        f"an image of {root}/images, found 'raw.nef', a file of another kind. Export it as JPEG or PNG"
    ]


def test_the_orientation_is_an_option(tmp_path: Path) -> None:
    root = make(tmp_path, ["s0.jpg", "s1.jpg"], masks=["s0.png", "s1.png"])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4), "red").save(root / "images" / "s0.jpg", exif=exif)
    options = {"root": str(root), "masks": "masks"}
    with pytest.raises(DataError, match=r"s0.png: expected the size of its image, 6 x 4"):
        make_catalogue("folder", tmp_path / "c" / "own", tmp_path / "g" / "own", options)
    catalogue = make_catalogue("folder", tmp_path / "c" / "own", tmp_path / "g" / "own", {**options, "upright": False})
    assert catalogue.size("s0") == (4, 6)
    assert not catalogue.upright


def test_values_of_the_masks_are_an_option(tmp_path: Path) -> None:
    root = make(tmp_path, ["s0.jpg", "s1.jpg"], ["image,tags", "s0.jpg,cat", "s1.jpg,dog"], ["s0.png", "s1.png"])
    Image.fromarray(np.full((4, 6), 7, np.uint8)).save(root / "masks" / "s0.png")
    listing = folder(str(root), masks="masks", mask_values={"cat": 7, "dog": 1})
    assert (listing.mask_values, listing.mask_background, listing.mask_maximum) == ((7, 1), 0, 7)
    places = tmp_path / "c" / "own", tmp_path / "g" / "own"
    options = {"root": str(root), "masks": "masks", "mask_values": {"cat": 7, "dog": 1}}
    make_catalogue("folder", *places, options)
    assert not [notice for notice in read_notices(places[0]) if notice.topic == "tags_and_masks_differ"]
    assert folder(str(root), masks="masks", mask_values={"cat": 0, "dog": 1}).mask_background is None
    for wrong in ({"cat": 1}, {"cat": 1, "dog": 1}, {"cat": 1, "dgo": 2, "dog": 3}, {"cat": 1, "dog": 300}):
        with pytest.raises(ConfigurationError, match="mask_values"):
            folder(str(root), masks="masks", mask_values=wrong)
    with pytest.raises(ConfigurationError, match="without the background"):
        folder(str(root), classes=["Background", "cat", "dog"])


def test_a_list_of_many_thousand_names_is_indexed_once() -> None:
    index = NameIndex([f"cam{k % 7}/img_{k:06}.jpg" for k in range(20_000)])
    assert all(index.find(f"cam{k % 7}/img_{k:06}.jpg") is not None for k in range(20_000))
    assert index.find("img_000003.jpg") is not None
    assert index.find("cam6/img_000003.jpg") is None
