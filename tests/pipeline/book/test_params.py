"""params.yaml: what is wrong is said at once, all together, with the closest valid name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.errors import ConfigurationError
from pipeline.book.check import check
from pipeline.book.check_inputs import check_files
from pipeline.book.options import components
from pipeline.book.params import load_book
from pipeline.book.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture
def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return loaded


def message_of(folder: Path, content: dict[str, Any] | str) -> str:
    """The message that a book with this content ends in."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (folder / "params.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        check(load_book(folder))
    return str(caught.value)


def test_no_book(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"No recipe book at .*params\.yaml"):
        load_book(tmp_path)


def test_a_copy_that_still_names_the_original(
    tmp_path: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "recipes/mine"
    copy.mkdir(parents=True)
    (copy / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=r"book\.path says that it lies in \.\. .* path: recipes/mine, params"):
        load_book("recipes/mine")
    content["book"] |= {"path": "recipes/mine", "params": "recipes/mine/params.yaml", "work": "work/mine"}
    (copy / "params.yaml").write_text(yaml.safe_dump(content))
    assert load_book("recipes/mine").name == load_book(copy).name == "mine"


def test_not_yaml(tmp_path: Path) -> None:
    assert "line 1" in message_of(tmp_path, "train: {classifier: [1, 2\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: " + 5000 * "[", "nested too deep"),
        ("? [a, b]\n: c\n", "expected a name as the key"),
        ("a: {{ x }}\n", r"needs quotes.*line 1, column 5"),
        ("a: 2026-13-45\n", "month must be in 1..12. Put text in quotes"),
        ("a: \x01\n", "not valid YAML"),
        ("- a\n", "expected sections"),
        ("", "expected sections"),
        (200_000 * "x", "expected sections"),
    ],
)
def test_what_is_no_book_is_said_in_one_line(tmp_path: Path, text: str, found: str) -> None:
    message = message_of(tmp_path, text)
    assert re.search(found, message)
    assert len(message) < 400
    assert "\n" not in message


def test_other_bytes_and_a_folder_in_the_files_place(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes("book: {}".encode("utf-16"))
    with pytest.raises(ConfigurationError, match="expected UTF-8 text"):
        load_book(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigurationError, match=r"params\.yaml: expected a file, found a folder"):
        load_book(tmp_path)


def test_many_problems_fill_one_screen(tmp_path: Path, content: dict[str, Any]) -> None:
    lines = message_of(tmp_path, content | {f"key{k}": k for k in range(900)}).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 880 more"


def test_in_the_folder_of_a_book(tmp_path: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "recipes/mine"
    folder.mkdir(parents=True)
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "dvc.yaml").touch()
    content["book"] |= {"root": "../..", "path": "recipes/mine", "params": "recipes/mine/params.yaml"}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigurationError, match=rf"project's root: cd {tmp_path}, with --book recipes/mine"):
        load_book(".")


def test_key_that_stands_twice(tmp_path: Path) -> None:
    assert "'seed' stands twice" in message_of(tmp_path, "train:\n  a:\n    seed: 1\n    seed: 2\n")


def test_unknown_section(tmp_path: Path, content: dict[str, Any]) -> None:
    content["trian"] = content.pop("train")
    assert "unknown key 'trian'. Did you mean 'train'?" in message_of(tmp_path, content)


def test_unknown_key(tmp_path: Path, content: dict[str, Any]) -> None:
    content["train"]["classifier"]["supervison"] = "tags"
    message = message_of(tmp_path, content)
    assert "train.classifier.supervison: unknown key 'supervison'. Did you mean 'supervision'?" in message


def test_wrong_type_and_missing_key_together(tmp_path: Path, content: dict[str, Any]) -> None:
    content["train"]["classifier"]["seed"] = "seven"
    del content["evaluate"]["cam"]["of"]
    message = message_of(tmp_path, content)
    assert "train.classifier.seed" in message
    assert "'seven'" in message
    assert "evaluate.cam.of: missing" in message


@pytest.mark.parametrize(
    ("section", "entry", "key", "value", "expected"),
    [
        ("train", "classifier", "init", "randon", "nothing makes checkpoints 'randon'. Did you mean 'random'?"),
        ("train", "classifier", "supervision", "tag", "Did you mean 'tags'?"),
        ("train", "classifier", "method", "clasifier", "unknown method 'clasifier'. Did you mean 'classifier'?"),
        ("refine_cams", "cam_crf", "refiner", "dense_crv", "Did you mean 'dense_crf'?"),
        ("make_pseudo_masks", "cam_crf", "rule", "constnt", "Did you mean 'constant'?"),
        ("prepare", "toy", "reader", "toi", "Did you mean 'toy'?"),
        ("annotate", "tags", "kind", "tag", "Did you mean 'tags'?"),
        ("evaluate", "cam", "of", "cams/cma", "nothing makes cams 'cma'. Did you mean 'cam'?"),
        ("train", "classifier", "model", {"backbone": "resnet81"}, "unknown backbone 'resnet81'. Did you"),
        ("train", "classifier", "model", {"dropuot": 0.5}, "unknown key 'dropuot'. Did you mean 'dropout'?"),
        ("train", "classifier", "model", {"seed": 1}, "unknown key 'seed'. It belongs one level up, beside `model:`."),
        ("train", "classifier", "loader", {"epochs": 1}, "unknown key 'epochs'. It belongs in `settings:`."),
        ("train", "classifier", "lr", 0.1, "train.classifier.lr: unknown key 'lr'. It belongs in `settings:`."),
        ("train", "classifier", "backbone", "resnet18", "unknown key 'backbone'. It belongs in `model:`."),
        ("refine_cams", "cam_crf", "alpha", 4.0, "unknown key 'alpha'. It belongs in `options:`."),
        ("evaluate", "cam", "fixed_threshold", 0.3, "unknown key 'fixed_threshold'. It belongs in `options:`."),
        ("evaluate", "full_val", "fixed_threshold", 0.3, "unknown key 'fixed_threshold'. Valid: data, of"),
        ("train", "classifier", "add_ons", {"hflp": {}}, "unknown add-on 'hflp'. Did you mean 'hfpl'?"),
        ("train", "classifier", "add_ons", {"hfpl": {"sgima": 2.0}}, "unknown key 'sgima'. Did you mean 'sigma'?"),
        ("train", "classifier", "add_ons", {"hfpl": {"sampling": 2.0}}, "add_ons.hfpl.sampling: expected a share in"),
        ("train", "classifier", "add_ons", {"hfpl": {"draws": "ten"}}, "train.classifier.add_ons.hfpl.draws"),
        ("train", "segmenter", "add_ons", {"hfpl": {}}, "'segmenter' learns no CAMs to add to; methods that do: "),
        ("train", "segmenter", "supervision", "tags", "'segmenter' needs pseudo-masks, masks, boxes"),
        ("train", "classifier", "settings", {"lr": float("nan")}, "settings.lr: expected a finite number, found nan"),
        ("train", "classifier", "settings", {"lr": "fast"}, "train.classifier.settings.lr"),
        ("train", "classifier", "settings", {"lr": 0.1}, "train.classifier.settings: expected either epochs or steps"),
        ("train", "classifier", "settings", {"epochs": 1, "ema": 2}, "ema: expected a share in [0,1), found 2"),
        ("train", "classifier", "loader", {"batch_size": 0}, "loader.batch_size: expected a whole number above 0"),
        ("annotate", "tags", "options", {"file": "points.csv"}, "Write it under 'import_annotations:'"),
        ("export_cams", "cam", "checkpoint", "segmenter", "cannot localise; methods that can: "),
        ("predict_masks", "full", "checkpoint", "classifier", "cannot segment; methods that can: "),
        ("export_cams", "cam", "checkpoint", "random", "imported weights, not a trained method"),
        ("import_weights", "random", "official", "seam", "expected either `architecture:` (weights of a backbone) or"),
        ("train", "classifier", "model", {"backbone": "resnet38d"}, "has 8, found 16 (the default). Remedy: output_s"),
        ("train", "classifier", "method", "afa", "'afa' reads attention; backbones that have it: mit_b0"),
        ("train", "classifier", "method", "weclip", "reads texts beside images, found 'resnet18'. Remedy: one of"),
        ("train", "classifier", "method", "toco", "'toco' reads tokens of a vision transformer, found 'resnet18'"),
    ],
)  # fmt: skip
def test_every_name_resolves(
    tmp_path: Path, content: dict[str, Any], section: str, entry: str, key: str, value: Any, expected: str
) -> None:
    content[section][entry][key] = value
    assert expected in message_of(tmp_path, content)


def test_a_published_network_does_what_its_page_can(tmp_path: Path, content: dict[str, Any]) -> None:
    entries = content["import_weights"]
    entries["seam_official"] = {"official": "seam", "file": "seam.pth"}
    entries["affinity_official"] = {"official": "seam_aff", "file": "aff.pth"}
    content["export_cams"]["cam"]["checkpoint"] = "seam_official"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    check(load_book(tmp_path))
    content["export_cams"]["cam"]["checkpoint"] = "affinity_official"
    assert "trained by 'affinity_net', which cannot localise; methods that can: " in message_of(tmp_path, content)
    entries["seam_official"]["official"] = "saem"
    assert "import_weights.seam_official.official: unknown official 'saem'. Did you mean 'seam'?" in message_of(
        tmp_path, content
    )


def test_two_makers_of_one_artefact(tmp_path: Path, content: dict[str, Any]) -> None:
    content["refine_cams"]["cam"] = dict(content["refine_cams"]["cam_crf"])
    assert "already makes cams 'cam'" in message_of(tmp_path, content)


def test_data_of_two_kinds(tmp_path: Path, content: dict[str, Any]) -> None:
    content["prepare"]["other"] = dict(content["prepare"]["toy"])
    content["train"]["classifier"]["data"] = "other"
    assert "'tags' belongs to data 'toy', not to 'other'" in message_of(tmp_path, content)


def test_missing_input_file_names_key_and_remedy(tmp_path: Path, content: dict[str, Any]) -> None:
    content["prepare"]["toy"]["root"] = "data/nowhere"
    content["book"]["sources"] = {"data/nowhere": "WEAK2MASK_NOWHERE"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=r"prepare\.toy\.root: data/nowhere does not exist.*WEAK2MASK_NOWHERE"):
        check_files(load_book(tmp_path))


def test_a_source_that_is_set_but_lacks_the_file_is_not_asked_for_again(
    tmp_path: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content["prepare"]["toy"]["root"] = "data/nowhere/VOC2012"
    content["book"]["sources"] = {"data/nowhere": "WEAK2MASK_NOWHERE"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("WEAK2MASK_NOWHERE", "/elsewhere")
    with pytest.raises(ConfigurationError, match=r"WEAK2MASK_NOWHERE=/elsewhere holds no VOC2012\. Put it there"):
        check_files(load_book(tmp_path))


def test_only_the_files_of_the_targets_are_asked_for(tmp_path: Path, content: dict[str, Any]) -> None:
    content["import_weights"]["published"] = {"official": "seam", "file": "data/seam.pth"}
    content["evaluate"]["published"] = {"data": "toy", "of": "cams/published"}
    content["export_cams"]["published"] = content["export_cams"]["cam"] | {"checkpoint": "published"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    book = load_book(tmp_path)
    check_files(book, ["evaluate@cam"])
    check_files(book, [])  # the book's own targets
    for targets in (["evaluate@cam", "evaluate@published"], None):
        with pytest.raises(ConfigurationError, match=r"import_weights\.published\.file: data/seam\.pth"):
            check_files(book, targets)


def test_components_of_an_entry() -> None:
    book = load_book(ROOT)
    assert "models.backbones.resnet" in components(book, "train", "classifier")
    assert "models.heads.aspp" in components(book, "train", "segmenter")
    assert "models.methods.classifier" in components(book, "export_cams", "cam")
    boosted = book.train["classifier"].model_copy(update={"add_ons": {"hfpl": {}}})
    book = book.model_copy(update={"train": book.train | {"classifier": boosted}})
    assert "models.methods.hfpl" in components(book, "train", "classifier")
    assert components(book, "refine_cams", "cam_crf") == ("models.refiners.dense_crf",)


def mixture(**options: Any) -> dict[str, Any]:
    return {"data": "toy", "split": "train", "kind": "mixture", "options": options}


RTC = {
    "data": "toy",
    "supervision": "tags",
    "method": "rtc",
    "init": "random",
    "model": {"backbone": "resnet18", "high": 0.1},
}


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("train.classifier.settings.steps", "10", "valid integer"),
        ("train.classifier.settings.lr", True, "valid number"),
        ("train.classifier.model.backbone", ["resnet18"], "valid string"),
        ("train.classifier.model.output_stride", 7, "8, 14, 16 or 32"),
        ("train.segmenter.model.head_width", -4, "above 0"),
        ("train.classifier.settings.momentum", 5, "momentum: expected a share in [0,1), found 5"),
        ("train.classifier.settings.power", -1, "power: expected a number of 0 or more, found -1"),
        ("train.classifier.loader.hue", 9, "0 to 0.5"),
        ("train.classifier.loader.num_workers", -7, "-1 or more"),
        ("train.classifier.seed", -1, "greater than or equal to 0"),
        ("export_cams.cam.options.scales", [], "one or more factors above 0"),
        ("export_cams.cam.options.grid", 0, "above 0"),
        ("refine_cams.cam_crf.options.preset", "pas", "Valid: clip_es, irn"),
        ("refine_cams.cam_crf.options.bilateral_sxy", -3, "bilateral_sxy: expected a number above 0, found -3"),
        ("refine_cams.cam_crf.options.bilateral_compat", -1, "bilateral_compat: expected a number of 0 or more"),
        ("refine_cams.cam_crf.options.gaussian_compat", -1, "gaussian_compat: expected a number of 0 or more"),
        ("refine_cams.cam_crf.options.threshold", 30, "threshold: expected a share in [0,1), found 30"),
        ("evaluate.cam.options", {"fixed_threshold": 25}, "fixed_threshold: expected a share in [0,1], found 25"),
        ("evaluate.cam.options", {"bound_th": -1}, "bound_th: expected a number of 0 or more, found -1"),
        ("evaluate.full_val.options", {"bound_th": float("inf")}, "bound_th: expected a finite number, found inf"),
        ("predict_masks.full.options", {"background": 2}, "options.background: expected a share in (0,1), found 2"),
        ("predict_masks.full.options", {"background": 0.0}, "options.background: expected a share in (0,1), found 0.0"),
        ("train.classifier.add_ons", {"ppc": {"background": 2}}, "ppc.background: expected a share in (0,1), found 2"),
        ("export_cams.cam.options.scales", [1.0, -1], "scales.1: expected one or more factors above 0, found -1"),
        ("export_cams.cam.options.scales", [float("inf")], "scales.0: expected a finite number, found inf"),
        ("export_cams.cam.options.grid", "half", "expected a whole number above 0, or 'full', found 'half'"),
        (
            "annotate.tags",
            {"data": "toy", "split": "train", "kind": "points", "options": {"jitter": 2}},
            "jitter: expec",
        ),
        ("import_weights.random.file", "", "at least 1 character"),
        ("train.segmenter", RTC, "model.low: expected at most high (0.1), found 0.2"),
        (
            "make_pseudo_masks.cam_crf",
            {"data": "toy", "cams": "cam_crf", "rule": "two_threshold", "options": {"high": 1.0}},
            "options.high: expected a share in [0,1), found 1.0",
        ),
        ("annotate.mixed", mixture(parts={"point": 0.5, "boxes": 0.5}), "unknown kind 'point'. Did you mean 'points'?"),
        ("annotate.mixed", mixture(parts={"points": 0.5, "boxes": 1}), "parts: expected parts from 0 to 1"),
        ("annotate.mixed", mixture(parts={"points": 1.5, "boxes": -0.5}), "parts: expected parts from 0 to 1"),
        ("annotate.mixed", mixture(parts={}), "found {}"),
        ("annotate.mixed", mixture(), "options.parts: missing"),
        ("annotate.mixed", {**mixture(), "kind": "shapes"}, "shapes are never derived"),
        (
            "annotate.mixed",
            mixture(parts={"points": 1}, options={"points": {"radios": 6}}),
            "options.points.radios: unknown key",
        ),
        ("train.classifier.precision", "bf16", "unknown value 'bf16'. Did you mean 'bf16-mixed'?"),
        ("book.params", "other.yaml", "expected params.yaml"),
        ("book.work", "../elsewhere", "a folder in the project"),
    ],
)
def test_values_that_nothing_takes(tmp_path: Path, content: dict[str, Any], path: str, value: Any, says: str) -> None:
    *sections, key = path.split(".")
    place = content
    for section in sections:
        place = place[section]
    place[key] = value
    message = message_of(tmp_path, content)
    assert path.rpartition(".")[0] in message
    assert says in message


def test_an_entry_that_needs_what_it_makes(tmp_path: Path, content: dict[str, Any]) -> None:
    content["train"]["classifier"]["init"] = "segmenter"
    message = message_of(tmp_path, content)
    assert "train.classifier: needs what it makes itself" in message
    assert "train.segmenter: needs what it makes itself" in message
    assert "train.full" not in message


def test_splits_that_a_data_set_does_not_have(tmp_path: Path, content: dict[str, Any]) -> None:
    content["predict_masks"]["full"]["split"] = "vall"
    message = message_of(tmp_path, content)
    assert "predict_masks.full.split: data 'toy' has no split 'vall'. Did you mean 'val'?" in message


def test_tags_teach_no_segmenter(tmp_path: Path, content: dict[str, Any]) -> None:
    content["train"]["full"]["supervision"] = "tags"
    assert "train.full.supervision: 'tags' holds image tags, which label no pixel" in message_of(tmp_path, content)


def test_label_files_must_be_there(tmp_path: Path, content: dict[str, Any]) -> None:
    content["prepare"]["toy"] = {"reader": "voc", "root": ".", "options": {"labels": "data/labels.json"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=r"prepare\.toy\.options\.labels: data/labels\.json does not exist"):
        check_files(load_book(tmp_path))


@pytest.mark.parametrize("section", ["train", "prepare"])
def test_a_section_without_keys(tmp_path: Path, content: dict[str, Any], section: str) -> None:
    content[section] = None
    assert f"{section}: expected keys below it, found none. Write {{}}" in message_of(tmp_path, content)


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path, content: dict[str, Any]) -> None:
    content["train"]["classifier"]["settings"]["lr"] = "LR"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content).replace("LR", "1e-3"))
    book = load_book(tmp_path)
    check(book)
    assert book.train["classifier"].settings["lr"] == 0.001


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="expected UTF-8"):
        load_book(tmp_path)


def test_targets_of_a_book_are_stages(tmp_path: Path, content: dict[str, Any]) -> None:
    content["book"]["targets"] = ["evaluate@cam", "evaluate@cma"]
    assert "book.targets: no stage 'evaluate@cma'. Did you mean 'evaluate@cam'?" in message_of(tmp_path, content)


@pytest.mark.parametrize(
    ("method", "says"),
    [("segmenter", "cannot say which pixels belong together"), ("affinity_net", "learns no displacements")],
)
def test_a_walk_needs_links_and_instances_displacements(
    tmp_path: Path, content: dict[str, Any], method: str, says: str
) -> None:
    content["train"]["links"] = {**content["train"]["classifier"], "method": method, "model": {}}
    walk = {"data": "toy", "cams": "cam", "checkpoint": "links", "instances": True}
    content["propagate_cams"]["walk"] = walk
    assert says in message_of(tmp_path, content)


@pytest.mark.parametrize("text", [r'a: "\ud83d\ude00"', r'"\ud800": 1', r'a: ["\udfff"]'])
def test_half_a_character_is_no_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="half a character"):
        parse_yaml(text)
