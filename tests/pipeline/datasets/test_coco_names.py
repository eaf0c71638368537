"""Where the images of a COCO file lie, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.datasets.coco_names import ids_apart, plain_name
from tests.helpers.coco_field import LEAF, STONE, TWO, entry, make, refused, region, write
from tests.helpers.coco_folder import square

# Names of files


@pytest.mark.parametrize(
    ("file_name", "plain"),
    [
        ("images\\a.png", "images/a.png"),
        ("C:\\Users\\me\\a.png", "Users/me/a.png"),
        ("/home/me/a.png", "home/me/a.png"),
        ("./a.png", "a.png"),
        ("../../label-studio/data/media/upload/1/a.png", "label-studio/data/media/upload/1/a.png"),
        ("a/../../b/c.png", "b/c.png"),
        ("https://host.org/set%201/a.png?token=x/y", "host.org/set 1/a.png"),
        ("s3://bucket/set/a.png", "bucket/set/a.png"),
        ("/data/local-files/?d=set/a%20b.png", "set/a b.png"),
        ("..", ""),
        ("//", ""),
    ],
)
def test_names_lead_nowhere_but_down(file_name: str, plain: str) -> None:
    assert plain_name(file_name) == plain


@pytest.mark.parametrize(
    "pattern",
    [
        "images\\{}.png",
        "..\\..\\set\\{}.png",
        "D:\\set\\{}.png",
        "/home/me/set/{}.png",
        "../../label-studio/data/media/upload/1/{}.png",
        "http://localhost:8080/data/upload/1/0123abcd-{}.png",
        "/data/local-files/?d=set/{}.png",
        "{}.PNG",
        "{}.jpg",
        "{}",
        "{}_png.rf.0a1b2c.jpg",
    ],
)
def test_paths_of_another_machine_are_found_by_their_last_part(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, [entry(1, pattern.format("a")), entry(2, pattern.format("b"))])
    catalogue, truth, notices = make(tmp_path)
    assert [one.image for one in catalogue.entries.values()] == ["images/a.png", "images/b.png"]
    assert catalogue.ids("train") == ("a", "b")
    assert truth.mask("a")[5, 5] == LEAF
    assert ("images_found_by_name" in notices) is (pattern != "images\\{}.png")


def test_files_that_a_tool_has_renamed_are_found(tmp_path: Path) -> None:
    write(tmp_path, files=("set/0123abcd-a.png", "set/89abcdef-b.png"))
    catalogue, _, notices = make(tmp_path)
    assert [one.image for one in catalogue.entries.values()] == ["set/0123abcd-a.png", "set/89abcdef-b.png"]
    assert "2 of 2 images lie elsewhere" in notices["images_found_by_name"]


def test_masks_are_not_taken_for_images(tmp_path: Path) -> None:
    names = [entry(1, "/home/me/a.png"), entry(2, "/home/me/b.png")]
    write(tmp_path, names, files=("images/a.png", "images/b.png", "masks/a.png", "masks/b.png"))
    assert [one.image for one in make(tmp_path)[0].entries.values()] == ["images/a.png", "images/b.png"]
    write(tmp_path / "two", [entry(1, "a.jpg"), TWO[1]], files=("masks/a.png", "images/b.png"))
    assert "a.jpg: expected an image file, found no such file" in refused(tmp_path / "two")


def test_a_name_that_fits_several_files_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, [entry(1, "/x/a.png"), TWO[1]], files=("u/a.png", "v/a.png", "images/b.png"))
    message = refused(tmp_path)
    assert "expected one file for '/x/a.png' (name its folder in `images`), found 2: u/a.png, v/a.png" in message
    names = [entry(1, "cam_0/img.png"), entry(2, "cam_1/img.png")]
    write(tmp_path / "one", names, files=("images/img.png",))
    message = refused(tmp_path / "one")
    assert "found images/img.png, which is another listed image's too" in message
    made, _, _ = make(tmp_path, bad="skip")
    assert made.ids("train") == ("b",)


def test_nothing_outside_of_the_root_is_read(tmp_path: Path) -> None:
    (tmp_path / "evil.png").touch()
    write(tmp_path / "root", [*TWO, entry(3, "../evil.png"), entry(4, str(tmp_path / "evil.png"))])
    assert "images/evil.png: expected an image file, found no such file" in refused(tmp_path / "root")


def test_no_image_at_all_names_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, [entry(1, "x/p00.png"), entry(2, "x/p01.png")])
    message = refused(tmp_path)
    assert "expected images such as x/p00.png" in message
    assert "There are 2 images of other names: images/a.png, images/b.png." in message


def test_images_that_no_list_has_are_counted(tmp_path: Path) -> None:
    write(tmp_path, files=("images/a.png", "images/b.png", "images/c.png", "images/d.png"))
    (tmp_path / "images" / "notes.txt").touch()
    assert "2 image files lie beside" in make(tmp_path)[2]["images_not_listed"]
    write(tmp_path, [entry(3, "c.png"), entry(4, "d.png")], [region(3, 1, square(2, 2, 8, 8))], name="val")
    assert "images_not_listed" not in make(tmp_path, splits={"train": "default", "val": "val"})[2]
    names = tmp_path / "list.txt"
    names.write_text("a\n")
    assert "c.png, images/d.png" in make(tmp_path, lists={"train": str(names)})[2]["images_not_listed"]


# Ids


def test_one_name_in_several_folders(tmp_path: Path) -> None:
    names = [entry(1, "cam_0/img.png"), entry(2, "cam_1/img.png"), entry(3, "cam_1/other.png")]
    write(tmp_path, names, files=[f"images/{one['file_name']}" for one in names])
    catalogue, truth, notices = make(tmp_path)
    assert catalogue.ids("train") == ("cam_0_img", "cam_1_img", "other")
    assert (truth.mask("cam_0_img")[5, 5], truth.mask("cam_1_img")[5, 5]) == (LEAF, STONE)
    assert catalogue.entry("cam_1_img").image == "images/cam_1/img.png"
    assert "images_not_listed" not in notices
    (tmp_path / "list.txt").write_text("cam_1_img\ncam_0/img.png\nother\n")
    catalogue, _, _ = make(tmp_path, lists={"train": str(tmp_path / "list.txt")})
    assert sorted(catalogue.ids("train")) == ["cam_0_img", "cam_1_img", "other"]
    (tmp_path / "list.txt").write_text("img\n")
    assert "list.txt line 1: expected an image of" in refused(tmp_path, lists={"train": str(tmp_path / "list.txt")})


def test_names_with_blanks_in_a_list(tmp_path: Path) -> None:
    names = [entry(1, "my photo 1.png"), entry(2, "my photo 2.png"), entry(3, "plain.png"), entry(4, "my.png")]
    write(tmp_path, names, files=[f"images/{one['file_name']}" for one in names])
    listed = tmp_path / "list.txt"
    listed.write_text("my photo 2.png\nmy photo 1\nplain.png my.png\nmy 1\n")
    catalogue, _, _ = make(tmp_path, lists={"train": str(listed)})
    assert catalogue.ids("train") == ("my photo 2", "my photo 1", "plain", "my")
    listed.write_text("images/my photo 1.png\nmine 3.png\n")
    message = refused(tmp_path, lists={"train": str(listed)})
    assert "1 problem with 1 image:" in message
    assert "list.txt line 2: expected an image of" in message
    assert "found 'mine 3.png'" in message


def test_one_name_in_two_splits(tmp_path: Path) -> None:
    one = [entry(1, "a.png")]
    for split, category in (("train", 1), ("valid", 2)):
        files = [f"{split}/a.png"]
        write(tmp_path, one, [region(1, category, square(2, 2, 8, 8))], files=files, name=split)
    catalogue, truth, _ = make(tmp_path, splits={"train": "train", "val": "valid"})
    assert (catalogue.ids("train"), catalogue.ids("val")) == (("train_a",), ("valid_a",))
    assert (truth.mask("train_a")[5, 5], truth.mask("valid_a")[5, 5]) == (LEAF, STONE)


def test_one_name_with_two_suffixes(tmp_path: Path) -> None:
    write(tmp_path, [entry(1, "a.png"), entry(2, "a.jpg")], files=("images/a.png", "images/a.jpg"))
    catalogue, truth, _ = make(tmp_path)
    assert catalogue.ids("train") == ("a_png", "a_jpg")
    assert truth.mask("a_jpg")[5, 5] == STONE


def test_ids_are_kept_where_nothing_is_shared() -> None:
    paths = ["x/COCO_val2014_000000000042.jpg", "x/b.jpg", "y/c.tar.png", "y/b_jpg.jpg"]
    assert list(ids_apart(paths).values()) == ["000000000042", "b", "c.tar", "b_jpg"]
    shared = ids_apart(["x/a.jpg", "x_a.jpg", "y/a.jpg", "y/a.png", "y_a.jpg"])
    assert len(set(shared.values())) == 5
    assert (shared["x_a.jpg"], shared["y_a.jpg"]) == ("x_a", "y_a")


def test_two_entries_of_one_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path, [*TWO, entry(3, "images/a.png")])
    assert "expected each id once in split 'train', found 'a' 2 times" in refused(tmp_path)
    write(tmp_path, [*TWO, entry(1, "c.png")])
    assert "images[2]: expected each image id once, found 1 again" in refused(tmp_path)
    assert make(tmp_path, bad="skip")[0].ids("train") == ("b",)  # whose annotations those of 1 are is not known
