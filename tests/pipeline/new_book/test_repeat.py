"""The same recipe under other seeds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from models.errors import ConfigurationError
from pipeline.__main__ import app
from pipeline.book.check import check
from pipeline.book.params import load_book
from pipeline.new_book.repeat import repeat, seeded

ROOT = Path(__file__).parents[3]
FILE = Path("params.yaml")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)


def test_a_recipe_gets_entries_for_each_seed_and_the_file_keeps_its_lines() -> None:
    before, lines = load_book("."), FILE.read_text().splitlines()
    done = repeat(".", ["evaluate@segmenter_val"], [1, 7])
    book = load_book(".")
    check(book)
    assert done.targets == ("evaluate@segmenter_val_1", "evaluate@segmenter_val_7")
    assert done.rows == ("segmenter_val",)
    assert len(done.entries) == 2 * 7
    new = book.train["segmenter_7"]
    assert new == before.train["segmenter"].model_copy(
        update={"seed": 7, "init": "classifier_7", "supervision": "cam_crf_7"}
    )
    assert book.make_pseudo_masks["cam_crf_7"].cams == "cam_crf_7"
    assert book.refine_cams["cam_crf_7"].cams == "cam_7"
    assert book.evaluate["segmenter_val_7"].of == "masks/segmenter_7"
    assert book.export_cams["cam_7"].supervision == "tags", "what no training stands behind is shared"
    assert book.table.repeats["segmenter_val"].of == ["segmenter_val", "segmenter_val_1", "segmenter_val_7"]
    assert {verb: getattr(before, verb) for verb in ("prepare", "annotate")} == {
        verb: getattr(book, verb) for verb in ("prepare", "annotate")
    }
    comments = [line for line in lines if "#" in line]
    assert [line for line in FILE.read_text().splitlines() if "#" in line] == comments


def test_a_recipe_repeats_from_a_training_on() -> None:
    done = repeat(".", ["evaluate@segmenter_val"], [3], ["train@segmenter"])
    assert done.entries == ("train@segmenter_3", "predict_masks@segmenter_3", "evaluate@segmenter_val_3")
    assert load_book(".").train["segmenter_3"].init == "classifier"


def test_two_networks_of_one_mean_do_not_become_the_same() -> None:
    content = yaml.safe_load(FILE.read_text())
    for section, key in (("train", "classifier"), ("export_cams", "cam")):
        content[section][f"{key}_two"] = dict(content[section][key])
    content["train"]["classifier_two"]["seed"] = 9
    content["export_cams"]["cam_two"]["checkpoint"] = "classifier_two"
    content["merge_cams"] = {"both": {"data": "toy", "cams": "cam", "other": "cam_two"}}
    content["evaluate"]["both"] = {"data": "toy", "of": "cams/both"}
    FILE.write_text(yaml.safe_dump(content, sort_keys=False))
    text = FILE.read_text()
    with pytest.raises(ConfigurationError, match=r"train\.classifier and train\.classifier_two differ by their seeds"):
        repeat(".", ["evaluate@both"], [1])
    assert FILE.read_text() == text


def test_what_is_there_stays_and_rows_that_lack_the_new_ones_are_told() -> None:
    repeat(".", ["evaluate@cam"], [1])
    text = FILE.read_text()
    assert repeat(".", ["evaluate@cam"], [1]).entries == ()
    assert FILE.read_text() == text
    assert repeat(".", ["evaluate@cam"], [2]).existing_rows == ("cam",)
    changed = yaml.safe_load(FILE.read_text())
    changed["train"]["classifier_1"]["seed"] = 5
    FILE.write_text(yaml.safe_dump(changed, sort_keys=False))
    with pytest.raises(ConfigurationError, match=r"train.classifier_1 is another entry than train.classifier under"):
        repeat(".", ["evaluate@cam"], [1])


@pytest.mark.parametrize(
    ("targets", "seeds", "first", "message"),
    [
        (["evaluate@cam"], [0], [], "train.classifier has the seed 0 itself"),
        (["evaluate@cma"], [1], [], "Did you mean 'evaluate@cam'"),
        (["annotate@tags"], [1], [], "annotate@tags: expected a stage that stands on a training"),
        (["evaluate@cam"], [1], ["train@segmenter"], "evaluate@cam: expected a stage that stands on train@segmenter"),
        (["evaluate@cam"], [1], ["export_cams@cam"], "--from: expected a training"),
    ],
)
def test_what_cannot_be_repeated(targets: list[str], seeds: list[int], first: list[str], message: str) -> None:
    before = FILE.read_text()
    with pytest.raises(ConfigurationError, match=message):
        repeat(".", targets, seeds, first)
    assert FILE.read_text() == before


def test_a_file_of_another_form_is_left_alone() -> None:
    text = yaml.safe_dump(yaml.safe_load(FILE.read_text()), default_flow_style=True)
    FILE.write_text(text)
    with pytest.raises(ConfigurationError, match=r"add these entries by hand:\ntrain:\n  classifier_1:"):
        repeat(".", ["evaluate@cam"], [1])
    assert FILE.read_text() == text


def test_names_carry_their_seed() -> None:
    names = {"cam": "cam_2", "points_0": "points_2", "points_0_head": "points_2_head", "cam_05": "cam_05_2"}
    assert {name: seeded(name, 2) for name in names} == names


def test_the_command_says_what_to_run() -> None:
    done = CliRunner().invoke(app, ["repeat", "evaluate@cam", "--seeds", "1, 2"])
    assert done.exit_code == 0, done.output
    assert "python -m pipeline run evaluate@cam_1 evaluate@cam_2\n" in done.output
    wrong = CliRunner().invoke(app, ["repeat", "evaluate@cam", "--seeds", "1,1"])
    assert "expected different whole numbers such as 1,2, found '1,1'" in str(wrong.exception)
