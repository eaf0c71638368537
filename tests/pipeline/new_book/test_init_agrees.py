"""``init`` ends well only with the numbers that ``prepare`` finds, whatever the folder is like."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from models.errors import ConfigurationError, DataError, Weak2MaskError
from pipeline.__main__ import app
from pipeline.book.params import load_book
from pipeline.datasets.build import make_catalogue
from pipeline.new_book import trial
from pipeline.new_book.survey import survey
from pipeline.new_book.write import init

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images: cat, cow and both in turn, with masks of 1 for the cats."""
    root = tmp_path / "farm"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for k in range(12):
        Image.new("RGB", (60, 40), (20 * k, 90, 90)).save(root / "images" / f"s{k}.jpg")
        mask = np.zeros((40, 60), np.uint8)
        mask[:20] = 2 if k % 3 == 1 else 1
        mask[20:30] = 2 if k % 3 == 2 else 0
        Image.fromarray(mask).save(root / "masks" / f"s{k}.png")
    return tags(root, ["image,tags", *(f"s{k}.jpg,{NAMES[k % 3]}" for k in range(12))])


NAMES = ("cat", "cow", "cat;cow")


def tags(root: Path, lines: list[str]) -> Path:
    (root / "tags.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def rows(root: Path) -> list[str]:
    return (root / "tags.csv").read_text(encoding="utf-8").splitlines()


def as_it_is(root: Path) -> None:
    pass


def floats(root: Path) -> None:
    tags(root, [",image,cat,cow", *(f"{k},s{k}.jpg,{float(k % 3 != 1)},{float(k % 3 != 0)}" for k in range(12))])


def broken_link(root: Path) -> None:
    (root / "images" / "s3.jpg").unlink()
    (root / "images" / "s3.jpg").symlink_to("/nowhere/s3.jpg")


def booleans_and_one_bad(root: Path) -> None:
    tags(root, ["image,cat,cow", *(f"s{k}.jpg,{k % 3 != 1},{k % 3 != 0 if k else '?'}" for k in range(12))])


def label_column(root: Path) -> None:
    tags(root, ["filename,label", *(f"s{k}.jpg,{('cat', 'cow')[k % 2]}" for k in range(12))])


def commas(root: Path) -> None:
    tags(root, ["image,tags", *(f's{k}.jpg,"{NAMES[k % 3].replace(";", ", ")}"' for k in range(12))])


def nones(root: Path) -> None:
    shutil.rmtree(root / "masks")
    tags(root, [line.replace("cat;cow", "none") for line in rows(root)])


def ghosts_and_strays(root: Path) -> None:
    tags(root, [*rows(root)[:-2], "gone.jpg,cat"])


def several_rows(root: Path) -> None:
    tags(root, [*rows(root), "s3.jpg,cow", "s5,cow"])


def broken_images(root: Path) -> None:
    for k in (2, 7):
        (root / "images" / f"s{k}.jpg").write_bytes(b"\xff\xd8 broken")


def masks_of_another_size(root: Path) -> None:
    for k in (1, 4):
        Image.new("L", (40, 60)).save(root / "masks" / f"s{k}.png")


def masks_of_other_values(root: Path) -> None:
    Image.new("L", (60, 40), 99).save(root / "masks" / "s4.png")


def masks_of_another_name(root: Path) -> None:
    for k in range(12):
        (root / "masks" / f"s{k}.png").rename(root / "masks" / f"s{k}_mask.PNG")


def subfolders(root: Path) -> None:
    for place, suffix in (("images", "jpg"), ("masks", "png")):
        for k in range(12):
            (root / place / f"cam{k % 2}").mkdir(exist_ok=True)
            (root / place / f"s{k}.{suffix}").rename(root / place / f"cam{k % 2}" / f"s{k // 2}.{suffix}")
    tags(root, ["image,tags", *(f"cam{k % 2}\\s{k // 2}.jpg,{NAMES[k % 3]}" for k in range(12))])


def two_of_a_name(root: Path) -> None:
    Image.new("RGB", (60, 40)).save(root / "images" / "s3.png")


def split_column(root: Path) -> None:
    lines = rows(root)
    splits = ["Split", *["train"] * 8, *["valid"] * 3, "trian"]
    tags(root, [f"{line},{split}" for line, split in zip(lines, splits, strict=True)])


def rare_class(root: Path) -> None:
    tags(root, [line.replace("s4.jpg,cow", "s4.jpg,owl") for line in rows(root)])


def few_images(root: Path) -> None:
    tags(root, rows(root)[:6])


ODD = [
    as_it_is, floats, booleans_and_one_bad, label_column, commas, nones, ghosts_and_strays, several_rows, broken_images,
    masks_of_another_size, masks_of_other_values, masks_of_another_name, subfolders, two_of_a_name, split_column,
    rare_class, few_images, broken_link,
]  # fmt: skip


@pytest.mark.parametrize("spoil", ODD)
def test_the_numbers_are_those_of_prepare(data: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(data)
    done = init(data, weights="random")
    entry = load_book(done.path).prepare["mine"]
    places = tmp_path / "c" / "mine", tmp_path / "g" / "mine"
    options = {"root": entry.root, **entry.options}
    catalogue = make_catalogue(entry.reader, *places, options, on_bad_image=entry.on_bad_image)
    assert done.survey.splits == catalogue.splits
    assert done.survey.classes == catalogue.class_names
    truth = (places[1] / "ground_truth.json").read_text()
    for split in done.survey.measured:
        assert all(f'"{id}"' in truth for id in catalogue.ids(split))
    if catalogue.left_out:
        assert any("left out" in note for note in done.survey.notes)


def test_the_notes_are_those_of_prepare_and_a_word_on_masks(data: Path) -> None:
    (data / "masks" / "s0.png").unlink()
    notes = survey(data).notes
    assert any(note.startswith("train is not measured: 1 of 10 images has no mask (s0).") for note in notes)
    tags(data, ["image,tags", *(f"s{k}.jpg,{('cow', 'cat', 'cow;cat')[k % 3]}" for k in range(12))])
    assert any("Remedy: `classes: [cow, cat]`" in note for note in survey(data).notes)


def test_a_note_for_each_class_that_tags_cannot_teach(data: Path) -> None:
    tags(data, ["image,tags", *(f"s{k}.jpg,crack" for k in range(12))])
    shutil.rmtree(data / "masks")
    assert any("Class 'crack' is on every training image (10)" in note for note in survey(data).notes)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,tags", *(f"s{k}.jpg,none" for k in range(12))], "found no class"),
        (["image,tags", "s0.jpg,cat", *(f"s{k}.jpg,nan" for k in range(1, 12))], "4 training images.*'nan'"),
        (["image,tags,split", *(f"s{k}.jpg,cat,training" for k in range(12))], "Rename 'training' to 'train'"),
        (["image,score", *(f"s{k}.jpg,0.{k}" for k in range(12))], "found score='0.1'"),
        (["image,tags,split", *(f"s{k}.jpg,cat,train" for k in range(12)), "x,cat,val"], "No good image is left"),
    ],
)  # fmt: skip
def test_nothing_usable_is_refused(data: Path, lines: list[str], message: str) -> None:
    shutil.rmtree(data / "masks")
    tags(data, lines)
    with pytest.raises(DataError, match=message):
        init(data, weights="random")
    assert not Path("recipes").exists()


def test_masks_of_no_image_are_refused(data: Path) -> None:
    for k in range(12):
        (data / "masks" / f"s{k}.png").rename(data / "masks" / f"frame{k}x.png")
    with pytest.raises(DataError, match="none of the 12 files of masks belongs to an image"):
        survey(data)


def test_folders_that_are_not_used_are_named(data: Path) -> None:
    (data / "masks").rename(data / "labels")
    assert (
        "Images in labels/ are not used: those of images/ are. If labels/ holds masks, call it masks/."
        in survey(data).notes
    )


def test_a_folder_for_each_class_gets_a_remedy_that_works(data: Path, tmp_path: Path) -> None:
    import subprocess

    shutil.rmtree(data / "masks")
    (data / "tags.csv").unlink()
    for k in range(12):
        (data / "images" / NAMES[k % 2]).mkdir(exist_ok=True)
        (data / "images" / f"s{k}.jpg").rename(data / "images" / NAMES[k % 2] / f"s{k}.jpg")
    with pytest.raises(DataError, match=r"The images lie in 2 folders .cat, cow.: if these are the classes") as error:
        survey(data)
    command = str(error.value).split("write them into one: ")[1].split(" (run in")[0]
    subprocess.run(["sh", "-c", command], cwd=data, check=True)
    found = survey(data)
    assert (found.classes, found.total) == (("cat", "cow"), 12)
    for name in ("cat", "cow"):
        (data / "images" / name).rename(data / name)
    with pytest.raises(DataError, match=r"found images in cat, cow. Remedy: move these folders into images/"):
        survey(data)


def test_only_images_of_other_kinds(data: Path) -> None:
    for k in range(12):
        (data / "images" / f"s{k}.jpg").rename(data / "images" / f"s{k}.nef")
    with pytest.raises(DataError, match=r"found none among 12 \.nef"):
        survey(data)


def test_more_classes_than_masks_hold_end_at_the_cams(data: Path) -> None:
    shutil.rmtree(data / "masks")
    tags(data, ["image,tags", *(f"s{k}.jpg,{';'.join(f'c{25 * k + n:03}' for n in range(25))}" for k in range(12))])
    output = CliRunner().invoke(app, ["init", str(data), "--weights", "random"])
    assert output.exit_code == 0, output.output
    assert "300 classes: c000, c001" in output.stdout
    assert "so the chain ends at the class activation maps (CAMs)" in output.stdout
    assert "predict NEW_IMAGES" not in output.stdout
    assert len(output.stdout) < 3000
    book = load_book("recipes/farm")
    assert set(book.export_cams) == {"cam"}
    assert not any((book.make_pseudo_masks, book.predict_masks, book.refine_cams))
    assert set(book.train) == {"classifier"}
    assert yaml.safe_load(Path("recipes/farm/params.yaml").read_text())["evaluate"] == {}


def test_names_that_hold_commas_are_in_quotes(data: Path) -> None:
    tags(data, [line.replace("cow", "cow, brown") if "cat" not in line else line for line in rows(data)])
    tags(data, [line.replace(",cow, brown", ',"cow, brown"') for line in rows(data)])
    shutil.rmtree(data / "masks")
    output = CliRunner().invoke(app, ["init", str(data), "--weights", "random"]).stdout
    assert "Classes: 'cat', 'cow', 'cow, brown'." in output


def test_of_many_bytes_the_first_images_are_opened(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "BYTES", 4 * (data / "images" / "s0.jpg").stat().st_size)
    (data / "images" / "s11.jpg").write_bytes(b"broken" * 100)
    found = survey(data)
    assert any("Only the first 2 images of each split were opened" in note for note in found.notes)
    assert found.total == 12


def test_boxes_that_import_annotations_refuses_are_refused(data: Path) -> None:
    (data / "boxes.csv").write_text("image,class,x1,y1,x2,y2\n" + "".join(f"s{k}.jpg,cow,9,1,1,9\n" for k in range(12)))
    with pytest.raises(Weak2MaskError, match="x1 < x2"):
        survey(data)


def test_remedies_can_be_given_to_init_as_messages_say_them(data: Path) -> None:
    for path in (data / "masks").iterdir():
        Image.fromarray(np.array([0, 127, 255], np.uint8)[np.asarray(Image.open(path))]).save(path)
    with pytest.raises(DataError) as refused:
        init(data, weights="random")
    line = "mask_values: {cat: 127, cow: 255}"
    assert f"as in --option '{line}'." in str(refused.value)
    done = CliRunner().invoke(app, ["init", str(data), "--weights", "random", "--option", line])
    assert done.exit_code == 0, done.output
    assert load_book("recipes/farm").prepare["mine"].options["mask_values"] == {"cat": 127, "cow": 255}
    for wrong, hint in (("mask_value: {}", "Did you mean 'mask_values'"), ("upright", "expected 'NAME: VALUE'")):
        output = CliRunner().invoke(app, ["init", str(data), "--book", "recipes/other", "--option", wrong])
        assert hint in str(output.exception)


@pytest.mark.slow
def test_a_stage_with_an_option_that_no_reader_has_is_no_bug(data: Path) -> None:
    done = init(data, weights="random")
    path = Path(done.path, "params.yaml")
    path.write_text(path.read_text().replace("images: images", "imagess: images"))
    output = CliRunner().invoke(app, ["prepare", "mine", "--book", done.path])
    assert isinstance(output.exception, ConfigurationError)
    assert "Did you mean 'images'" in str(output.exception)
