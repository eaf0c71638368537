"""Masks of new images: whatever files are named, good ones get a mask and bad ones a line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner

from models.errors import ConfigurationError, DataError
from models.structures import IGNORE
from pipeline.__main__ import app
from pipeline.book.entries import ImportWeightsEntry
from pipeline.inference import options
from pipeline.inference.inputs import Input, find_images, passed_over
from pipeline.inference.predict import TOOL_FORMATS, check_out, predict
from pipeline.inference.tags import read_tags
from pipeline.inference.trained import Place, find_checkpoint, load_segmenter
from pipeline.inference.worker import PredictOptions
from pipeline.problems.notices import read_notices
from pipeline.storage.checkpoints import build_method, save_checkpoint
from stages.predict_masks import predict_masks, predict_scored
from tests.helpers.pretend_gpu import PretendGpu

ROOT = Path(__file__).parents[3]
CLASSES = ("cow", "dog")
SMALL = {"backbone": "resnet18", "width": 0.25, "output_stride": 8, "head_width": 8}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter that has learnt nothing, but says something else in bright and in dark places."""
    folder = tmp_path_factory.mktemp("checkpoints") / "segmenter"
    method: Any = build_method("segmenter", len(CLASSES), SMALL, seed=1)
    torch.nn.init.normal_(method.head.classifier.weight, generator=torch.Generator().manual_seed(2))
    save_checkpoint(folder, method, recipe={"method": "segmenter", "options": SMALL}, class_names=CLASSES)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two good images, among files that are none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        picture(seed).save(folder / name)
    (folder / "notes.txt").write_text("not for me")
    return folder


def picture(seed: int = 0, size: tuple[int, int] = (48, 40)) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(256, size=(5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)


def run(photos: Path, checkpoint: Path, out: Path, **options: Any) -> Any:
    return predict(find_images([str(photos)]), checkpoint, CLASSES, out, PredictOptions(scales=(1.0, 1.5)), **options)


def test_a_gpu_writes_the_same_files(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(photos, checkpoint, tmp_path / "cpu")
    with PretendGpu() as gpu:
        run(photos, checkpoint, tmp_path / "gpu", device="cuda")
        assert gpu.trips
    files = [path.relative_to(tmp_path / "cpu") for path in (tmp_path / "cpu").rglob("*") if path.is_file()]
    assert len(files) > 4
    for file in files:
        assert (tmp_path / "gpu" / file).read_bytes() == (tmp_path / "cpu" / file).read_bytes(), file


def test_every_image_gets_its_files_and_they_agree(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = run(photos, checkpoint, out)
    assert (summary.images, summary.problems) == (2, ())
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    names = {f"{kind}/{name}" for name in "ab" for kind in ("masks", "overlays", "json")}
    assert {path.rpartition(".")[0] for path in written} == names | {"predictions"}
    for name, source in (("a", "a.png"), ("b", "b.jpg")):
        stored = Image.open(out / "masks" / f"{name}.png")
        assert stored.mode == "P"
        mask = np.asarray(stored)
        card = json.loads((out / "json" / f"{name}.json").read_text())
        assert card["source"].endswith(source)
        assert (card["height"], card["width"]) == mask.shape == (40, 48)
        labels = [card["background"], *card["classes"]]
        assert {one["id"]: one["pixels"] for one in labels if one["pixels"]} == dict(
            zip(*(found.tolist() for found in np.unique(mask, return_counts=True)), strict=True)
        )
        assert sum(one["share"] for one in labels) == pytest.approx(1, abs=1e-5)
        assert all(1 / 3 <= one["score"] <= 1 for one in card["classes"])
        assert Image.open(out / "overlays" / f"{name}.png").size == (48, 40)
    assert sum(summary.classes.values()) > 0


def test_masks_are_those_of_the_stage(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(photos, checkpoint, tmp_path / "out", formats=("masks",))
    method: Any = load_segmenter(Place(checkpoint))[0]
    image = np.asarray(Image.open(photos / "a.png").convert("RGB"))
    ((_, expected),) = predict_masks([("a", image, None)], method, scales=(1.0, 1.5))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/masks/a.png")), expected)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks"]


def test_coco_loads_and_decodes_to_the_masks(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    run(photos, checkpoint, tmp_path / "out")
    path = tmp_path / "out" / "predictions.json"
    coco = COCO(str(path))
    assert {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())} == {1: "cow", 2: "dog"}
    for id, name in ((1, "a"), (2, "b")):
        mask = np.zeros((40, 48), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=id)):
            region = coco.annToMask(annotation).astype(bool)
            assert region.sum() == annotation["area"]
            mask[region] = annotation["category_id"]
        assert np.array_equal(mask, np.asarray(Image.open(tmp_path / "out/masks" / f"{name}.png")))
    assert len(coco.loadRes(json.loads(path.read_text())["annotations"]).anns) == len(coco.anns)


def test_labelling_tools_get_the_same_masks(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos, checkpoint, out, formats=("masks", "json", *TOOL_FORMATS))
    assert sorted(path.name for path in out.iterdir()) == sorted(["masks", "json", *TOOL_FORMATS])
    tasks = json.loads((out / "labelstudio" / "label_studio.json").read_text())
    for name, task in zip("ab", tasks, strict=True):
        mask, card = Image.open(out / "masks" / f"{name}.png"), json.loads((out / "json" / f"{name}.json").read_text())
        counts, labels = np.bincount(np.asarray(mask).ravel(), minlength=3), [card["background"], *card["classes"]]
        sure = sum(counts[label["id"]] * label["score"] for label in labels) / counts.sum()
        assert task["predictions"][0]["score"] == pytest.approx(sure, abs=1e-3)
        assert task["predictions"][0]["model_version"] == "segmenter"
        assert {result["value"]["brushlabels"][0] for result in task["predictions"][0]["result"]} == {
            label["name"] for label in card["classes"]
        }
        labelled = json.loads((out / "labelme" / f"{name}.json").read_text())
        assert (out / "labelme" / labelled["imagePath"]).resolve().parent == photos.resolve()


def test_scores_are_the_mean_probability_where_a_label_won(checkpoint: Path) -> None:
    method: Any = load_segmenter(Place(checkpoint))[0]
    image = np.asarray(picture())
    seen: list[Any] = []

    def crf(_: Any, probabilities: Any) -> Any:
        seen.append(probabilities)
        return probabilities

    scored = predict_scored(("a", image, None), method, crf=crf)
    plain = predict_scored(("a", image, None), method)
    assert np.array_equal(scored.mask, plain.mask)
    for label in range(3):
        won = scored.mask == label
        expected = seen[0][label][won].mean() if won.any() else 0
        assert scored.scores[label] == pytest.approx(expected, abs=1e-5)
        assert plain.scores[label] == pytest.approx(expected, abs=1e-5)


def test_every_kind_of_image_is_read_and_bad_ones_are_reported_together(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    folder = tmp_path / "all"
    folder.mkdir()
    rgb = picture()
    rgb.convert("L").save(folder / "grey.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) << 8).save(folder / "bits16.png")
    exif = rgb.getexif()
    exif[0x112] = 6
    rgb.save(folder / "turned.jpg", exif=exif)
    picture(size=(1, 1)).save(folder / "one.png")
    rgb.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:300])
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    Image.new("1", (9000, 6000)).save(folder / "huge.png")
    summary = predict(find_images([str(folder)]), checkpoint, CLASSES, tmp_path / "out", PredictOptions())
    good = ["alpha", "bits16", "cmyk", "grey", "one", "turned"]
    assert sorted(path.stem for path in (tmp_path / "out/masks").iterdir()) == good
    assert Image.open(tmp_path / "out/masks/turned.png").size == (40, 48)
    assert len(COCO(str(tmp_path / "out/predictions.json")).imgs) == summary.images == len(good)
    with pytest.raises(DataError) as error:
        summary.raise_problems()
    for name in ("cut.jpg", "empty.jpg", "text.png", "huge.png"):
        assert name in str(error.value)
    assert "The masks of the other 6 images are in" in str(error.value)
    for images, message in ((0, "No mask was made"), (1, "The mask of the other image is in")):
        with pytest.raises(DataError, match=message):
            replace(summary, images=images).raise_problems()


def test_what_may_be_wrong_with_images_is_counted(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    folder, out = tmp_path / "odd", tmp_path / "out"
    folder.mkdir()
    rgb, exif = picture(), Image.Exif()
    exif[0x112] = 6
    for name in ("turned.jpg", "also.jpg"):
        rgb.save(folder / name, exif=exif)
    Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) << 4).save(folder / "bits12.png")
    infrared = np.arange(40 * 48).reshape(40, 48, 1).astype(np.uint8)
    Image.fromarray(np.concatenate([np.asarray(rgb), infrared], -1)).save(folder / "infrared.tif")
    summary = predict(find_images([str(folder)]), checkpoint, CLASSES, out, PredictOptions())
    assert summary.images == 4
    notices = {notice.topic: notice for notice in summary.notices}
    assert set(notices) == {"exif_orientation", "low_depth", "bands"}
    assert "2 of 4 images carry an EXIF orientation (also.jpg, turned.jpg): they are turned upright" in (
        notices["exif_orientation"].text
    )
    assert "12 bits" in notices["low_depth"].text
    assert read_notices(out) == summary.notices
    for name in ("turned.jpg", "also.jpg", "bits12.png"):
        (folder / name).unlink()
    rgb.save(folder / "infrared.tif")
    predict(find_images([str(folder)]), checkpoint, CLASSES, out, PredictOptions())
    assert read_notices(out) == (), "warnings of an earlier prediction do not stay"


def test_a_large_image_is_refused_before_it_is_read(checkpoint: Path, tmp_path: Path) -> None:
    Image.new("1", (10000, 6000)).save(tmp_path / "large.png")
    summary = predict(
        find_images([str(tmp_path / "large.png")]), checkpoint, CLASSES, tmp_path / "out", PredictOptions((1.0, 2.0))
    )
    [problem] = summary.problems
    assert problem.expected == "at most 12 million pixels (at scale 2)"
    assert "10000 x 6000 (60 million pixels). Remedy: cut it into tiles" in problem.found


def test_files_that_are_passed_over_are_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.heic", "c.mp4", "d.txt", "e.TXT", "f.CR2", ".hidden", "below/a.jpg", "empty/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [item.name for item in find_images([str(tmp_path)])] == ["a", "b"]
    files, folders = passed_over([str(tmp_path)])
    assert files.count == 4
    assert "2 .txt, 1 .cr2, 1 .mp4 (c.mp4, d.txt, e.TXT and 1 more). A camera's raw files" in files.text
    assert (
        f"folders below that hold images ({tmp_path / 'below'}). To take them name '{tmp_path}/**/*.jpg'"
        in folders.text
    )
    assert passed_over([str(tmp_path / "a.jpg")]) == []


def test_worker_processes_write_the_same_bytes(checkpoint: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for seed in range(9):
        picture(seed).save(folder / f"{seed}.png")
    alone, together = tmp_path / "alone", tmp_path / "together"
    monkeypatch.setenv("WEAK2MASK_WORKERS", "0")
    run(folder, checkpoint, alone)
    monkeypatch.setenv("WEAK2MASK_WORKERS", "1")
    run(folder, checkpoint, together)
    files = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    assert len(files) == 28
    for path in files:
        assert (alone / path).read_bytes() == (together / path).read_bytes(), path


def test_equal_stems_are_kept_apart(tmp_path: Path) -> None:
    for name in ("x/a.jpg", "x/a.png", "x/A.jpg", "y/a.jpg", "y/c d.jpg", "y/ünï.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    inputs = find_images([str(tmp_path / "x"), str(tmp_path / "*" / "*.jpg")])
    names = {str(item.path.relative_to(tmp_path)): item.name for item in inputs}
    assert names["y/c d.jpg"] == "c d"
    assert names["y/ünï.jpg"] == "ünï"
    assert names["x/a.png"] == "a_png"
    assert names["y/a.jpg"] == "y_a_jpg"
    assert len({name.casefold() for name in names.values()}) == len(names) == 6


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ([], "No images were named"),
        (["gone/"], "no such file or folder"),
        (["photos/c.jpg"], "Did you mean"),
        (["photos/*.gif"], "no file matches"),
        (["empty"], "holds no image file"),
        (["nested"], r"name 'nested/\*\*/\*.jpg'"),
    ],
)
def test_what_is_missing_is_named(
    photos: Path, tmp_path: Path, monkeypatch: Any, named: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("nested/below").mkdir(parents=True)
    Path("nested/below/a.jpg").touch()
    with pytest.raises(DataError, match=message):
        find_images(named)


def test_only_what_could_be_read_is_proposed(photos: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("opt", "nopes"):
        Path(name).mkdir()
    Path("nope.txt").touch()
    with pytest.raises(DataError, match=r"nope: no such file or folder\.$"):
        find_images(["nope"])
    with pytest.raises(DataError, match="Did you mean 'photos'"):
        find_images(["photo"])


def test_nothing_is_overwritten_by_accident(photos: Path, tmp_path: Path) -> None:
    inputs = find_images([str(photos)])
    check_out(tmp_path / "new", inputs, overwrite=False)
    with pytest.raises(DataError, match="--overwrite"):
        check_out(photos, inputs, overwrite=False)
    check_out(photos, inputs, overwrite=True)
    with pytest.raises(DataError, match="expected a folder"):
        check_out(photos / "a.png", inputs, overwrite=True)
    shutil.copytree(photos, tmp_path / "out/masks")
    with pytest.raises(ConfigurationError, match="both read and"):
        check_out(tmp_path / "out", find_images([str(tmp_path / "out/masks")]), overwrite=True)


def test_tags_restrict_the_classes(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    inputs = find_images([str(photos)])
    table = tmp_path / "tags.csv"
    table.write_text("image,tags\na.png,dog\nb,background\n")
    allowed = read_tags(table, CLASSES, inputs)
    assert allowed == {"a": [False, True], "b": [False, False]}
    run(photos, checkpoint, tmp_path / "out", tags=allowed)
    assert set(np.unique(np.asarray(Image.open(tmp_path / "out/masks/a.png")))) <= {0, 2}
    assert not np.asarray(Image.open(tmp_path / "out/masks/b.png")).any()
    table.write_text("image,tags\na.png,dgo\n")
    with pytest.raises(DataError, match=r"(?s)Did you mean 'dog'.*b.jpg: expected a row"):
        read_tags(table, CLASSES, inputs)


def test_a_row_of_tags_is_of_one_image(tmp_path: Path) -> None:
    inputs = [Input("x_img", Path("x/img.jpg")), Input("y_img", Path("y/img.jpg"))]
    table = tmp_path / "tags.csv"
    table.write_text("image,tags\nx/img.jpg,cow\ny/img.jpg,dog\n")
    assert read_tags(table, CLASSES, inputs) == {"x_img": [True, False], "y_img": [False, True]}
    table.write_text("image,tags\nimg.jpg,cow\n")
    assert read_tags(table, CLASSES, inputs[:1]) == {"x_img": [True, False]}
    with pytest.raises(DataError, match=r"the folder too.*'img.jpg' for x/img.jpg, y/img.jpg"):
        read_tags(table, CLASSES, inputs)
    for twice in ("img.jpg,cow\nimg.jpg,dog", "a/img.jpg,cow\nb/img.jpg,dog"):
        table.write_text(f"image,tags\n{twice}\n")
        with pytest.raises(DataError, match=r"expected one row, found 2 \(.*2, .*3\)"):
            read_tags(table, CLASSES, inputs[:1])


@pytest.fixture
def project(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book whose segmenter is trained and whose classifier is not."""
    folder = tmp_path / "project"
    folder.mkdir()
    book = yaml.safe_load((ROOT / "params.yaml").read_text())
    book["predict_masks"]["segmenter"] |= {"options": {"scales": [0.5, 1.0], "flip": True}, "crf": {"preset": "irn"}}
    (folder / "params.yaml").write_text(yaml.safe_dump(book, sort_keys=False))
    shutil.copytree(checkpoint, folder / "work/toy/checkpoints/segmenter")
    monkeypatch.chdir(folder)
    return folder


def test_a_checkpoint_is_a_name_or_a_place(project: Path, checkpoint: Path) -> None:
    place = find_checkpoint("segmenter")
    assert place.folder == Path("work/toy/checkpoints/segmenter")
    assert str(options.predict_options(place, None, None, None)) == "scales 0.5, 1, with mirror image, CRF irn"
    assert str(options.predict_options(place, (1.0,), False, "none")) == "scales 1, without mirror image, no CRF"
    gated = replace(place, options={"average": "probabilities", "gate": True, "background": 0.17, "batch_size": 4})
    found = options.predict_options(gated, None, None, "none")
    assert (found.average, found.gate, found.background) == ("probabilities", True, 0.17)
    assert "background 0.17" in str(found)
    for named in (checkpoint, checkpoint / "model.safetensors"):
        assert find_checkpoint(str(named)).folder == checkpoint
    assert str(options.predict_options(find_checkpoint(str(checkpoint)), None, None, None)).startswith("scales 1,")
    with pytest.raises(ConfigurationError, match="Did you mean 'segmenter'"):
        find_checkpoint("segmentr")
    with pytest.raises(ConfigurationError, match="weights to start from"):
        find_checkpoint("random")
    with pytest.raises(DataError, match="python -m pipeline run train@classifier"):
        find_checkpoint("classifier")


def test_a_checkpoint_that_cannot_segment_is_refused_with_one_that_can(project: Path) -> None:
    method = build_method("classifier", 2, {"backbone": "resnet18", "width": 0.25})
    recipe = {"method": "classifier", "options": {"backbone": "resnet18", "width": 0.25}}
    save_checkpoint(Path("work/toy/checkpoints/classifier"), method, recipe=recipe, class_names=CLASSES)
    with pytest.raises(ConfigurationError, match=r"cannot segment.*\(segmenter, full\)"):
        load_segmenter(find_checkpoint("classifier"))
    book = find_checkpoint("classifier").book
    assert book is not None
    official = {"published": ImportWeightsEntry(official="deeplab_v2", file="deeplab.pth")}
    book = book.model_copy(update={"train": {}, "import_weights": book.import_weights | official})
    with pytest.raises(ConfigurationError, match=r"name a checkpoint that can \(published\)"):
        load_segmenter(Place(Path("work/toy/checkpoints/classifier"), book))
    with pytest.raises(ConfigurationError, match="trained on the pseudo-masks of this one"):
        load_segmenter(Place(Path("work/toy/checkpoints/classifier")))


@pytest.mark.parametrize("text", ["", "0", "-1,1", "a,b", "nan", "9"])
def test_scales_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--scales"):
        options.parse_scales(text)


def test_the_command_writes_and_says_json(project: Path, photos: Path) -> None:
    words = ["predict", str(photos), "-c", "segmenter", "--out", "out", "--crf", "none", "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert (summary["images"], summary["problems"]) == (2, [])
    views = {"scales": [0.5, 1.0], "flip": True, "average": "logits", "gate": False, "background": None}
    assert summary["how"] == views | {"crf": None}
    assert Path("out/masks/a.png").is_file()
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, DataError)
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    unknown = CliRunner().invoke(app, [*words, "--format", "mask"]).exception
    assert "Did you mean 'masks'" in str(unknown)
    assert IGNORE not in np.asarray(Image.open("out/masks/a.png"))


def test_the_command_writes_the_ids_of_a_coco_file(project: Path, photos: Path) -> None:
    images = [{"id": 70 + k, "file_name": name, "height": 40, "width": 48} for k, name in enumerate(("b.jpg", "a.png"))]
    categories = [{"id": 9, "name": "dog"}, {"id": 4, "name": "cow"}]
    Path("own.json").write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    words = ["predict", str(photos), "-c", "segmenter", "--out", "out", "--crf", "none", "--coco-ids", "own.json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    content = json.loads(Path("out/predictions.json").read_text())
    assert {image["id"]: image["file_name"] for image in content["images"]} == {71: "a.png", 70: "b.jpg"}
    assert {one["category_id"] for one in content["annotations"]} <= {4, 9}
    results = COCO("own.json").loadRes("out/results.json")
    assert len(results.anns) == len(content["annotations"]) > 0
    unused = CliRunner().invoke(app, [*words, "--overwrite", "--format", "masks"]).exception
    assert "--coco-ids is of predictions.json" in str(unused)
