"""A book for what lies in a labelling tool's export: no table of tags is needed."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import ConfigurationError, DataError
from pipeline.book.params import load_book
from pipeline.new_book.archive import unpack_archive
from pipeline.new_book.survey import survey
from pipeline.new_book.tool_exports import exports_in
from pipeline.new_book.write import init
from tests.helpers.dataset_files import yolo
from tests.helpers.drawn_scene import SCENE
from tests.helpers.made_annotations import csv_of
from tests.helpers.tool_files import cvat, labelme

pytestmark = pytest.mark.usefixtures("project")
IDS = tuple(SCENE)


def images_in(folder: Path, ids: tuple[str, ...] = IDS) -> Path:
    folder.mkdir(parents=True)
    for number, id in enumerate(ids):
        Image.new("RGB", (96, 64), (number, 0, 0)).save(folder / f"{id}.png")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    images_in(tmp_path / "farm" / "images")
    return tmp_path / "farm"


def written(data: Path, **options: Any) -> Any:
    return load_book(init(data, **{"weights": "random", **options}).path)


def test_an_export_says_classes_and_labels(data: Path) -> None:
    cvat(data, IDS)
    book = written(data)
    entry = book.import_annotations["cvat"]
    assert (entry.kind, entry.file) == ("shapes", "data/farm/annotations.xml")
    assert book.prepare["mine"].options["classes"] == ["cat", "dog"]
    assert book.train["classifier"].supervision == book.export_cams["cam"].supervision == "cvat"
    assert book.export_cams["cam"].keep_labels
    assert not book.annotate


def test_one_export_of_several_by_its_file(data: Path) -> None:
    cvat(data, IDS)
    (data / "labelme").mkdir()
    labelme(data / "labelme", IDS)
    found = survey(data)
    assert found.annotations == {"cvat": "annotations.xml", "labelme": "labelme"}
    assert any(note.startswith("Several exports are there") for note in found.notes)
    book = written(data / "annotations.xml")
    assert list(book.import_annotations) == ["cvat"]
    with pytest.raises(DataError, match=r"expected an export of a labelling tool with shapes, found an image \(PNG\)"):
        written(data / "images" / "q0.png", book="recipes/other")


def test_images_without_a_shape_are_asked_for(data: Path) -> None:
    cvat(data, IDS[:4])
    with pytest.raises(DataError, match=r"`unannotated: left_out`.*\n.*--option 'unannotated: left_out'"):
        written(data)
    assert not Path("recipes/farm").exists()
    book = written(data, options={"unannotated": "background"})
    assert book.import_annotations["cvat"].options == {"unannotated": "background"}
    few = written(data, options={"unannotated": "left_out"}, book="recipes/few")
    assert book.train["classifier"].loader["batch_size"] == len(IDS)
    assert few.train["classifier"].loader["batch_size"] == 4  # else no batch could be filled
    with pytest.raises(ConfigurationError, match="Did you mean 'unannotated'"):
        written(data, options={"unanotated": "background"}, book="recipes/other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unannotated": "lefft_out"}, "--option unannotated: unknown value 'lefft_out'. Did you mean 'left_out'"),
        ({"brush": "paint"}, "--option brush: unknown value 'paint'. Valid: areas, strokes"),
        ({"upright": "perhaps"}, "--option upright: .*found 'perhaps'"),
        ({"mask_values": 3}, "--option mask_values: .*found 3"),
        ({"classes": "cat"}, "--option classes: .*found 'cat'"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_the_users_slip(data: Path, options: Any, message: str) -> None:
    cvat(data, IDS)
    with pytest.raises(ConfigurationError, match=message):
        written(data, options=options)
    assert not Path("recipes/farm").exists()


def test_folders_of_splits_as_roboflow_has_them(tmp_path: Path) -> None:
    data = tmp_path / "farm"
    ids = tuple(f"i{k}" for k in range(6))
    images_in(data / "train" / "images", ids)
    images_in(data / "valid" / "images", ("v0", "v1"))
    yolo(data, (), "roboflow")
    for split, names in (("train", ids), ("valid", ("v0", "v1"))):
        (data / split / "labels").mkdir(exist_ok=True)
        for id in names:
            (data / split / "labels" / f"{id}.txt").write_text("1 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1\n")
    found = survey(data)
    assert {split: len(names) for split, names in found.splits.items()} == {"train": 6, "val": 2}
    assert found.classes == ("cat", "dog")
    assert not [note for note in found.notes if "are not used" in note]
    images_in(data / "more", ("m0",))
    assert [note for note in survey(data).notes if "are not used" in note] == [
        "Images in more/ are not used: those of train/images/, valid/images/ are."
    ]
    (data / "tags.csv").write_text(
        "image,tags\n" + "".join(f"train/images/{id}.png,cat;dog\n" for id in ids) + "v0.png,dog\nvalid/images/v1,cat\n"
    )
    tagged = survey(data)
    assert (tagged.tags, tagged.splits, tagged.val_fraction) == ("tags.csv", found.splits, None)
    (data / "tags.csv").unlink()
    assert written(data).prepare["mine"].options["split_folders"] == {"train": "train/images", "val": "valid/images"}


def test_images_within_labelme_files(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    labelme(labels, IDS)
    picture = images_in(tmp_path / "pictures")
    for id in IDS:
        content = json.loads((labels / f"{id}.json").read_text())
        content["imageData"] = base64.b64encode((picture / f"{id}.png").read_bytes()).decode()
        (labels / f"{id}.json").write_text(json.dumps(content))
    book = written(labels)
    assert book.prepare["mine"].root == "data/labels_unpacked"
    assert book.import_annotations["labelme"].file == "data/labels_unpacked/labels"
    assert (Path("data/labels_unpacked/images/q3.png")).read_bytes() == (picture / "q3.png").read_bytes()


def test_clicks_and_strokes_that_cover_the_images_together(data: Path) -> None:
    csv_of(data / "points.csv", [(id, "cat", 5, 5) for id in IDS[:4]], "image,class,x,y")
    (data / "scribbles").mkdir()
    strokes = np.full((64, 96), 255, np.uint8)
    strokes[10, 10:50] = 1
    for id in IDS[3:]:
        Image.fromarray(strokes).save(data / "scribbles" / f"{id}.png")
    book = written(data)
    entry = book.import_annotations["mixture"]
    assert (entry.kind, entry.file) == ("mixture", "data/farm")
    assert book.export_cams["cam"].keep_labels


def test_an_export_that_does_not_go_with_the_table_of_tags_is_left_out(data: Path) -> None:
    cvat(data, IDS)
    (data / "tags.csv").write_text("image,tags\n" + "".join(f"{id}.png,ship\n" for id in IDS))
    found = survey(data)
    assert not found.annotations
    assert any(note.startswith("annotations.xml is not used. Bad annotations") for note in found.notes)
    (data / "labelmap.txt").write_text("nonsense\n")
    (data / "SegmentationClass").mkdir()
    Image.new("L", (96, 64)).save(data / "SegmentationClass" / "q0.png")
    assert survey(data).tags == "tags.csv"


def archive_of(folder: Path, path: Path, prefix: str = "") -> Path:
    """A ZIP archive of all files below a folder, and what a Mac adds to it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
        archive.writestr(f"__MACOSX/{prefix}._x.png", b"x")
    return path


def test_an_export_that_is_still_an_archive(tmp_path: Path, data: Path) -> None:
    cvat(data, IDS)
    archive = archive_of(data, tmp_path / "Task 1.zip", "task/")
    book = written(archive)
    assert Path("recipes/task_1").is_dir()
    assert book.prepare["mine"].root == "data/task_1_unpacked/task"
    assert book.import_annotations["cvat"].file == "data/task_1_unpacked/task/annotations.xml"
    assert sorted(path.name for path in Path("data/task_1_unpacked").iterdir()) == ["task"]
    with pytest.raises(ConfigurationError, match="is there already"):
        written(archive)


def test_an_archive_needs_the_space_where_it_is_unpacked(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    usage = shutil.disk_usage

    def disk_usage(place: Path) -> Any:
        asked.append(Path(place))
        return usage(place)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    archive = archive_of(data, tmp_path / "a.zip")
    unpack_archive(archive, Path("data/new/a_unpacked"), [])
    unpack_archive(archive, tmp_path / "elsewhere" / "a", [])
    assert asked == [tmp_path / "project", tmp_path], "the nearest folders that are there"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            {"annotations.xml": "<annotations/>"},
            "found no images in it. Remedy: unpack it into the folder of the images",
        ),
        ({"../../x.png": "x"}, "expected files within one folder, found '../../x.png'"),
        ({"C:/x.png": "x"}, "expected files within one folder"),
        (None, "found a damaged or locked one"),
    ],
)
def test_archives_that_are_refused_leave_nothing(tmp_path: Path, content: dict[str, str] | None, found: str) -> None:
    path = tmp_path / "a.zip"
    if content is None:
        path.write_bytes(b"PK\x03\x04 and no more")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    with pytest.raises(DataError, match=re.escape(found)):
        written(path)
    assert not Path("data/a_unpacked").exists()
    assert not (tmp_path / "x.png").exists()


def test_an_archive_that_grows_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.new_book.archive.ALWAYS_TAKEN", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(1_000_000))
    with pytest.raises(DataError, match="unpacks to at most 100 times"):
        written(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        (
            "export.ndjson",
            '{"data_row": {}, "projects": {}}\n{"data_row": {}}\n',
            "export.ndjson and its like: an export of",
        ),
        ("labels.zip", "PK", "labels.zip and its like: a ZIP archive. Remedy: unpack it."),
        (
            "images/_classes.csv",
            "Pixel Value, Class\n0, background\n",
            "images/_classes.csv and its like: Roboflow's masks",
        ),
    ],
)
def test_an_export_that_is_not_read_is_named(data: Path, name: str, content: str, found: str) -> None:
    (data / name).write_text(content)
    with pytest.raises(DataError, match=f"expected a CSV of tags(.|\n)*Found, and not read: {re.escape(found)}"):
        survey(data)


def test_predictions_that_nobody_accepted_are_named(data: Path) -> None:
    file = data / "project.json"
    tasks = [{"data": {"image": f"{id}.png"}, "annotations": [], "predictions": [{"result": []}]} for id in IDS]
    file.write_text(json.dumps(tasks))
    said = r"Label Studio's export \(no shapes\), and what is no label: prediction that nobody has accepted in .* \(6\)"
    with pytest.raises(DataError, match=rf"project\.json: expected an export .* with shapes, found {said}"):
        survey(data, file=file)
    with pytest.raises(DataError, match=rf"found none\.\nFound, and not read: .*project\.json: {said}"):
        survey(data)


def test_masks_are_measured_against_and_taught_where_they_are_named(data: Path) -> None:
    (data / "masks").mkdir()
    for id in IDS:
        Image.new("RGB", (96, 64), (250, 50, 83)).save(data / "masks" / f"{id}.png")
    (data / "labelmap.txt").write_text("background:0,0,0::\ncat:250,50,83::\n")
    assert exports_in(data) == []
    assert [export.name for export in exports_in(data, data / "labelmap.txt")] == ["pascal_masks"]
