"""A book for a folder of one's own: written, checked and right for its size, or refused with nothing left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from models.errors import ConfigurationError, DataError
from pipeline.__main__ import app
from pipeline.book.params import load_book
from pipeline.new_book.names import slug, slugs
from pipeline.new_book.plan import minutes, plan_book
from pipeline.new_book.survey import Survey, survey
from pipeline.new_book.template import quoted
from pipeline.new_book.write import init

ROOT = Path(__file__).parents[3]


pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images, half of them cats, half of them cows."""
    return images(tmp_path / "My farm ü", 12)


def images(folder: Path, count: int, size: tuple[int, int] = (60, 40)) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = ["image,tags"]
    for k in range(count):
        Image.new("RGB", size).save(folder / "images" / f"i {k}é.jpg")
        rows.append(f"i {k}é.jpg,{('cat', 'cow')[k % 2]}")
    (folder / "tags.csv").write_text("\n".join(rows) + "\n")
    return folder


def written(data: Path, **options: Any) -> Any:
    options = {"weights": "random", **options}
    return load_book(init(data, **options).path)


def test_the_book_holds_and_has_the_folder_linked(data: Path) -> None:
    done = init(data, weights="random")
    assert done.path == "recipes/my_farm_u"
    assert Path("data/my_farm_u").resolve() == data
    assert not Path(done.path, "dvc.yaml").is_symlink()
    assert Path(done.path, "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    book = load_book(done.path)
    assert book.book.sources == {"data/my_farm_u": "WEAK2MASK_DATA_MY_FARM_U"}
    assert book.prepare["mine"].options == {"images": "images", "tags": "tags.csv", "val_fraction": 0.2}
    assert set(book.predict_masks) == {"train", "val"}
    assert book.evaluate == {}
    assert done.plan.style == "small"
    assert {split: len(ids) for split, ids in done.survey.splits.items()} == {"train": 10, "val": 2}


def test_a_folder_in_the_project_is_read_where_it_is(data: Path, project: Path) -> None:
    shutil.copytree(data, project / "data/with blank")
    book = written(Path("data/with blank"), book="recipes/own", style="fast")
    assert book.prepare["mine"].root == "data/with blank"
    assert book.book.sources == {}
    assert list(Path("data").iterdir()) == [Path("data/with blank")]


def test_columns_of_classes_rows_of_tags_and_splits(data: Path) -> None:
    wide = "\n".join(f"i {k}é,{int(k % 2 == 0)},{int(k % 3 == 0)},{'train' if k < 8 else 'test 1'}" for k in range(12))
    (data / "tags.csv").write_text("image,cat,cow,split\n" + wide)
    book = written(data)
    assert "val_fraction" not in book.prepare["mine"].options
    assert {name: entry.split for name, entry in book.predict_masks.items()} == {"train": "train", "test_1": "test 1"}
    (data / "tags.csv").rename(data / "labels.csv")
    (data / "labels.csv").write_text("image,tag\n" + "\n".join(f"i {k}é.jpg,cow\ni {k}é.jpg,cat" for k in range(12)))
    found = survey(data)
    assert (found.tags, found.classes, found.total) == ("labels.csv", ("cat", "cow"), 12)


def test_few_images_have_no_validation_split(tmp_path: Path) -> None:
    book = written(images(tmp_path / "few", 5))
    assert set(book.predict_masks) == {"train"}
    assert book.prepare["mine"].options["val_fraction"] == 0
    assert book.train["classifier"].loader["batch_size"] == 5


def test_masks_are_measured_against_where_a_split_has_them_all(data: Path) -> None:
    (data / "masks").mkdir()
    for k in range(3):
        Image.new("L", (60, 40)).save(data / "masks" / f"i {k}é.png")
    assert set(written(data).evaluate) == {"val"}
    for k in range(12):
        Image.new("L", (60, 40)).save(data / "masks" / f"i {k}é.png")
    assert set(written(data, book="recipes/all").evaluate) == {"cam", "pseudo_masks", "val"}


def test_boxes_are_labels_too_and_what_does_not_cover_is_said(data: Path) -> None:
    rows = "\n".join(f"i {k}é.jpg,cow,1,1,9,9" for k in range(12))
    (data / "boxes.csv").write_text("image,class,x1,y1,x2,y2\n" + rows)
    (data / "points.csv").write_text("image,class,x,y\ni 0é.jpg,cow,1,1\n")
    found = survey(data)
    assert found.annotations == {"boxes": "boxes.csv"}
    assert any("points.csv has nothing for" in note for note in found.notes)
    (data / "tags.csv").unlink()
    book = written(data)
    assert book.train["classifier"].supervision == "boxes"
    assert book.import_annotations["boxes"].file == "data/my_farm_u/boxes.csv"
    assert book.prepare["mine"].options["classes"] == ["cow"]


def test_labels_without_tags_cover_the_training_images(data: Path) -> None:
    (data / "tags.csv").unlink()
    (data / "points.csv").write_text("image,class,x,y\ni 0é.jpg,cow,1,1\n")
    with pytest.raises(DataError, match=r"points\.csv has nothing for \d+ of \d+ training images.*Remedy: label those"):
        survey(data)
    (data / "points.csv").write_text("image,class,x,y\ni 0é.jpg,,1,1\n")
    with pytest.raises(DataError, match=r"points\.csv.*expected a class name, or 'background', found an empty cell"):
        survey(data)


def test_labels_of_a_few_images_are_taken_where_it_is_said_what_the_others_are(data: Path) -> None:
    (data / "points.csv").write_text("image,class,x,y\ni 0é.jpg,cow,1,1\ni 5é.jpg,cat,1,1\n")
    book = written(data, options={"unannotated": "unlabelled"})
    assert book.import_annotations["points"].options == {"unannotated": "unlabelled"}
    assert (book.train["classifier"].supervision, book.export_cams["cam"].supervision) == ("tags", "points")
    (data / "tags.csv").unlink()
    (data / "boxes.csv").write_text("image,class,x1,y1,x2,y2\ni 0é.jpg,cow,1,1,9,9\n")
    with pytest.raises(DataError, match=r"--option 'unannotated: left_out' or 'unannotated: background'"):
        survey(data)
    with pytest.raises(DataError, match=r"there is no CSV of tags\. Remedy: .*tags\.csv with columns image,tags, or"):
        survey(data, {"unannotated": "unlabelled"})
    several = written(data, options={"unannotated": "left_out"}, book="recipes/several")
    assert several.import_annotations["mixture"].options == {"unannotated": "left_out"}


def test_clicks_label_regions_and_stay_in_the_cams(data: Path) -> None:
    assert not written(data, book="recipes/plain").export_cams["cam"].keep_labels
    (data / "points.csv").write_text("image,class,x,y\n" + "\n".join(f"i {k}é.jpg,cow,1,1" for k in range(12)))
    book = written(data)
    assert (book.export_cams["cam"].supervision, book.export_cams["cam"].keep_labels) == ("points", True)
    assert book.import_annotations["points"].fill_regions
    assert book.train["classifier"].supervision == "tags"


def survey_of(count: int, size: tuple[int, int]) -> Survey:
    return Survey("images", "tags.csv", ("cat",), {"train": tuple(map(str, range(count)))}, 0.2, size)


def test_numbers_follow_the_size() -> None:
    voc, large = plan_book(survey_of(474, (375, 500)), "small"), plan_book(survey_of(474, (3000, 4000)), "small")
    assert voc.scales == (0.75, 1.0, 1.25)
    assert [round(scale * 4000) for scale in large.scales] == pytest.approx([336, 448, 560], abs=5)
    assert large.grid > voc.grid
    assert plan_book(survey_of(5000, (375, 500)), "small").epochs == (6, 10)
    assert plan_book(survey_of(20, (375, 500)), "small").epochs[0] > voc.epochs[0]
    tiny = plan_book(survey_of(20, (40, 60)), "small")
    assert (tiny.crop, tiny.scales) == (64, (0.75, 1.0, 1.25))
    found = survey_of(474, (375, 500))
    assert 5 <= minutes(found, voc, cores=2, gpu=False) <= 40
    assert minutes(found, plan_book(found, "fast"), 2, False) < minutes(found, voc, 2, False)
    assert minutes(found, voc, 2, True) < minutes(found, voc, 2, False)


def test_the_way_depends_on_the_weights_and_on_how_thorough_it_is(data: Path, tmp_path: Path) -> None:
    import torch

    from models.backbones.mobilenet_v2 import MobileNetV2

    torch.save(MobileNetV2().state_dict(), tmp_path / "weights.pth")
    trained = {"weights": str(tmp_path / "weights.pth")}
    found = written(data, book="recipes/small", style="small", **trained).train
    assert (found["classifier"].method, list(found["classifier"].add_ons)) == ("seam", ["hfpl"])
    assert found["classifier"].model["second_size"] == 32
    assert found["segmenter"].settings["optimizer"] == "adamw"
    assert found["segmenter"].model["frozen_stages"] == 2
    fast = written(data, book="recipes/fast", style="fast", **trained).train
    assert (fast["classifier"].method, fast["segmenter"].settings["optimizer"]) == ("classifier", "adamw")
    for entry in written(data, book="recipes/random", style="small").train.values():
        assert entry.method in ("classifier", "segmenter")
        assert not {"freeze_bn", "frozen_stages"} & set(entry.model)
        assert "optimizer" not in entry.settings


def test_the_warm_up_ends_before_the_training() -> None:
    for count, style in ((2, "fast"), (20, "small"), (474, "small"), (5000, "default")):
        plan = plan_book(survey_of(count, (375, 500)), style)  # type: ignore[arg-type]
        steps = [epochs * (count // plan.batch_size) for epochs in plan.epochs]
        assert all(0 < warmup <= 30 and 6 * warmup <= total for warmup, total in zip(plan.warmup, steps, strict=True))


def no_images(data: Path) -> None:
    shutil.rmtree(data / "images")


def no_csv(data: Path) -> None:
    (data / "tags.csv").unlink()


def two_csv(data: Path) -> None:
    (data / "tags.csv").rename(data / "a.csv")
    (data / "b.csv").touch()


def other_ids(data: Path) -> None:
    (data / "tags.csv").write_text("image,tags\nx.jpg,cat\ny.jpg,cow\n")


def no_classes(data: Path) -> None:
    (data / "tags.csv").write_text("image,split\ni 0é.jpg,train\n")


def no_train(data: Path) -> None:
    (data / "tags.csv").write_text("image,tags,split\ni 0é.jpg,cat,training\n")


def one_row(data: Path) -> None:
    (data / "tags.csv").write_text("image,tags\ni 0é.jpg,cat\n")


def unknown_class(data: Path) -> None:
    (data / "boxes.csv").write_text("image,class,x1,y1,x2,y2\ni 0é.jpg,cta,1,1,2,2\n")


def no_pictures(data: Path) -> None:
    for path in (data / "images").iterdir():
        path.write_text("no picture")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_images, "expected images in"),
        (no_csv, "expected a CSV of tags"),
        (two_csv, "Call the right one tags.csv"),
        (other_ids, "None agree"),
        (no_classes, "found no class"),
        (no_train, "expected a split 'train'"),
        (one_row, "at least 4 training images"),
        (unknown_class, "Did you mean 'cat'"),
        (no_pictures, "No good image is left in split train"),
    ],
)
def test_what_cannot_teach_is_refused_and_nothing_is_left(
    data: Path, project: Path, spoil: Callable[[Path], None], message: str
) -> None:
    before = set(project.rglob("*"))
    spoil(data)
    with pytest.raises(DataError, match=message):
        init(data, weights="random")
    assert set(project.rglob("*")) == before


def test_odd_but_usable_folders_get_notes(data: Path) -> None:
    rows = (data / "tags.csv").read_text().splitlines()
    (data / "tags.csv").write_text("\n".join([*rows[:-1], "gone.jpg,Cat"]))
    Image.new("RGB", (600, 400)).save(data / "images" / "i 0é.jpg")
    message = "\n".join(survey(data).notes)
    left_out = ("2 of 13 images and rows will be left out", "found 'gone.jpg'")
    for words in (*left_out, "'Cat' (1) and 'cat' (6)", "Long sides go from 60 to 600"):
        assert words in message


def test_nothing_that_is_there_is_replaced(data: Path, tmp_path: Path) -> None:
    init(data, weights="random")
    text = Path("recipes/my_farm_u/params.yaml").read_text()
    with pytest.raises(ConfigurationError, match="name another with --book"):
        init(data, weights="random")
    other = images(tmp_path / "other" / "My farm ü", 12)
    shutil.rmtree("recipes/my_farm_u")
    with pytest.raises(ConfigurationError, match="for another book"):
        init(other, weights="random")
    assert Path("data/my_farm_u").resolve() == data
    assert not Path("recipes/my_farm_u").exists()
    init(data, weights="random")
    assert Path("recipes/my_farm_u/params.yaml").read_text() == text
    Path("work/taken").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="in use by another book"):
        init(data, book="recipes/taken", weights="random")


@pytest.mark.parametrize("book", ["/tmp/book", "../book", "recipes/My-Book", "."])
def test_a_book_lies_in_the_project(data: Path, book: str) -> None:
    with pytest.raises(ConfigurationError, match="--book"):
        init(data, book=book, weights="random")


def test_without_the_internet_a_local_file_is_asked_for(data: Path, monkeypatch: Any) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(DataError, match=r"no route to host.*--weights FILE"):
        init(data)
    with pytest.raises(DataError, match="No weights file"):
        init(data, weights="gone.pth")
    assert not Path("recipes").exists()


def test_local_weights_say_their_backbone(data: Path, tmp_path: Path) -> None:
    import torch

    from models.backbones.resnet import ResNet18

    torch.save(ResNet18().state_dict(), tmp_path / "weights.pth")
    book = written(data, weights=str(tmp_path / "weights.pth"), normalisation="half")
    assert book.import_weights["start"].architecture == "resnet18"
    assert book.import_weights["start"].normalisation == "half"
    assert Path(book.import_weights["start"].file).resolve() == tmp_path / "weights.pth"
    assert book.train["classifier"].model["backbone"] == "resnet18"


def test_the_command_says_what_comes_next(data: Path) -> None:
    done = CliRunner().invoke(app, ["init", str(data), "--weights", "random", "--from", "fast"])
    assert done.exit_code == 0, done.output
    assert "python -m pipeline run --book recipes/my_farm_u" in done.stdout
    assert "--checkpoint segmenter --book recipes/my_farm_u" in done.stdout
    words = ["init", str(data), "--weights", "random", "--book", "recipes/b", "--json"]
    assert json.loads(CliRunner().invoke(app, words).stdout)["path"] == "recipes/b"
    for option, slip, known in (("--from", "smal", "small"), ("--normalisation", "hlf", "half")):
        wrong = CliRunner().invoke(app, [*words, option, slip])
        assert wrong.exit_code == 2
        assert all(f"'{name}'" in wrong.output for name in (option, slip, known))


@pytest.mark.parametrize(
    "value", ["yes", "cat: 1", "ünï", "#a", "007", "a b", "", "null", "it's", 'say "x"', "a/b.csv"]
)
def test_words_survive_yaml(value: str) -> None:
    assert yaml.safe_load(f"key: {quoted(value)}") == {"key": value}
    assert yaml.safe_load(f"key: [{quoted(value)}]") == {"key": [value]}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My farm ü", "my_farm_u"),
        ("coco_Fluß", "coco_fluss"),
        ("Ærø, Łódź & Ðð İıþ", "aero_lodz_dd_iith"),
        ("照片 2020", "2020"),
        ("a--b", "a_b"),
        ("_x", "x"),
        ("__", "mine"),
    ],
)
def test_names_become_names_of_entries(text: str, name: str) -> None:
    assert slug(text) == name


def test_names_in_other_scripts_stay_apart() -> None:
    photos, pictures = slug("照片"), slug("Картинки")
    assert re.fullmatch("mine_[0-9a-f]{6}", photos)
    assert photos == slug("照片") != pictures
    assert slug("\u304c") == slug("\u304b\u3099")  # composed and decomposed
    assert list(slugs(["val 1", "val_1", "val_1_2", "VAL 1"]).values()) == ["val_1", "val_1_3", "val_1_2", "val_1_4"]


def test_images_with_several_rows_do_not_count_and_the_message_says_so(data: Path) -> None:
    rows = [f"i {k}é.jpg,{name}" for k in range(12) for name in ("cat", "cow")]
    (data / "tags.csv").write_text("\n".join(["image,tags", *rows]))
    with pytest.raises(DataError, match=r"found 0\..*more than one row.*'cat;dog'.*column 'tag'"):
        survey(data)
    (data / "tags.csv").write_text("\n".join(["image,tag", *rows]))
    assert survey(data).total == 12
    (data / "tags.csv").write_text("\n".join(["image,tags", *rows[::2], rows[1]]))
    found = survey(data)
    assert found.total == 11
    assert "i 0é" not in {id for ids in found.splits.values() for id in ids}
    assert any("line 14" in note for note in found.notes)


def test_splits_of_one_name_in_the_book_are_numbered(data: Path) -> None:
    splits = ["train"] * 8 + ["val 1", "val_1"] * 2
    rows = [f"i {k}é.jpg,cat,{split}" for k, split in enumerate(splits)]
    (data / "tags.csv").write_text("\n".join(["image,tags,split", *rows]))
    predicted = written(data).predict_masks
    assert {name: entry.split for name, entry in predicted.items()} == {
        "train": "train", "val_1": "val 1", "val_1_2": "val_1",
    }  # fmt: skip


def test_folders_of_one_name_get_books_of_their_own(data: Path, tmp_path: Path) -> None:
    """The same folder twice is refused: it has its book already."""
    first = init(data, style="fast", weights="random").path
    other = tmp_path / "others" / "MY FARM Ü"
    shutil.copytree(data, other)
    assert first == "recipes/my_farm_u"
    assert init(other, style="fast", weights="random").path == "recipes/my_farm_u_2"
    assert Path("data/my_farm_u_2").resolve() == other.resolve()
    with pytest.raises(ConfigurationError, match="recipes/my_farm_u is there already"):
        init(data, style="fast", weights="random")


@pytest.mark.parametrize("name", ["device", "workers", "weights", "voc_mini"])
def test_the_variable_of_a_folder_is_none_of_the_projects_own(tmp_path: Path, name: str) -> None:
    book = written(images(tmp_path / name, 5))
    assert book.book.sources == {f"data/{name}": f"WEAK2MASK_DATA_{name.upper()}"}
