"""Other seeds for a recipe of a book.yaml: into its lists, or as a block at its end."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.errors import ConfigurationError
from pipeline.__main__ import app
from pipeline.book.agreement import differences, flat_content
from pipeline.book.load import checked_book
from pipeline.new_book.copy import copy_book
from pipeline.new_book.expanding import expand_book
from pipeline.new_book.repeat import Repeated, repeat

ROOT = Path(__file__).parents[3]
PLACE = "recipes/mine"
HEAD = """\
# Mine.
book: {root: ../.., path: recipes/mine, params: recipes/mine/params.yaml, work: work/mine}
prepare:
  toy: {reader: toy, root: pyproject.toml}
annotate:
  tags: {data: toy, split: train, kind: tags}
import_weights:
  random: {architecture: random, file: pyproject.toml}
"""
LISTED = f"""{HEAD}
plain:
  train:
    base: {{data: toy, supervision: tags, method: classifier, init: random, settings: {{epochs: 1}}}}
cams:
  each: {{kind: [classifier, seam]}}
  cams:
    each: {{run: &seeds [0, 1, ]}}  # of all kinds
    train:
      <kind>_<run>: {{data: toy, supervision: tags, method: <kind>, init: base, seed: <run>, settings: {{epochs: 1}}}}
    export_cams:
      <kind>_<run>: {{data: toy, supervision: tags, checkpoint: <kind>_<run>, judge: {{mean: <kind>}}}}
masks:
  each:
    seed: *seeds
  make_pseudo_masks:
    classifier_<seed>: {{data: toy, cams: classifier_<seed>, rule: complement, judge: classifier_masks_<seed>}}
segmenters:
  each:
    number:
      # one a line
      - 0   # the first
      - 1
  train:
    seg_<number>:
      {{data: toy, supervision: classifier_<number>, method: segmenter,
       init: random, seed: <number>, settings: {{epochs: 1}}}}
  predict_masks:
    seg_<number>: {{data: toy, split: val, checkpoint: seg_<number>, judge: {{mean: seg}}}}
fixed:
  make_pseudo_masks:
    fixed: {{data: toy, cams: seam_0, rule: complement, judge: true}}
  train:
    fixed: {{data: toy, supervision: tags, method: classifier, init: seam_0, settings: {{epochs: 1}}}}
"""
ONCE = f"""{HEAD}
table: {{title: Mine}}
chain:
  train:
    cam: &cam {{data: toy, supervision: tags, method: classifier, init: random, settings: {{epochs: 1}}}}
    seg: {{<<: *cam, supervision: crf, method: segmenter}}
  export_cams:
    cam: &exported {{data: toy, supervision: tags, checkpoint: cam, options: {{scales: [1.0]}}, judge: true}}
  make_pseudo_masks:
    crf: &crf
      data: toy
      cams: cam
      rule: complement
      judge: pseudo_masks
  predict_masks:
    seg: {{data: toy, split: val, checkpoint: seg, crf: {{preset: irn}}, judge: [{{name: val}}, {{name: again}}]}}
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pipeline", "dvc.yaml", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    Path(PLACE).mkdir(parents=True)
    Path(PLACE, "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())


def wrote(text: str) -> None:
    Path(PLACE, "book.yaml").write_text(text)
    expand_book(PLACE)


def source() -> str:
    return Path(PLACE, "book.yaml").read_text()


def repeated(target: str, *seeds: int, first: tuple[str, ...] = ()) -> Repeated:
    """What ``repeat`` did; entries of before have to be what they were, and params.yaml the expansion."""
    before = flat_content(Path(PLACE, "params.yaml"))
    done = repeat(PLACE, [target], seeds, first)
    after = flat_content(Path(PLACE, "params.yaml"))
    changes = [one for one in differences(before, after) if not one.startswith("table")]
    assert sorted(changes) == sorted(f"{entry} (new)" for entry in done.entries)
    assert expand_book(PLACE, write=False) == []
    checked_book(PLACE)
    return done


def edits(before: str) -> list[str]:
    """Lines that were removed and added."""
    return [line for line in difflib.ndiff(before.splitlines(), source().splitlines()) if line[0] in "+-"]


def test_seeds_go_into_every_list_of_the_chain_and_nothing_else_changes() -> None:
    wrote(LISTED)
    done = repeated("evaluate@seg_0_val", 5, 7, first=("train@classifier_0",))
    assert done.file == "recipes/mine/book.yaml"
    assert done.targets == ("evaluate@seg_5_val", "evaluate@seg_7_val")
    expected = LISTED.replace("[0, 1, ]", "[0, 1, 5, 7, ]").replace("      - 1\n", "      - 1\n      - 5\n      - 7\n")
    assert source() == expected
    book = checked_book(PLACE)
    assert book.table.repeats["seg"].of == ["seg_0_val", "seg_1_val", "seg_5_val", "seg_7_val"]
    assert book.train["seg_7"].supervision == "classifier_7"
    assert "train@seam_5" in done.entries
    assert done.without_row == ()


def test_lists_of_several_lengths_come_to_the_same() -> None:
    wrote(LISTED)
    assert repeated("evaluate@classifier_0", 3, first=("train@classifier_0",)).targets == ("evaluate@classifier_3",)
    before = source()
    repeated("evaluate@seg_0_val", 3, first=("train@classifier_0",))
    assert edits(before) == ["+       - 3"]
    text = source()
    with pytest.raises(ConfigurationError, match=r"book.yaml line 16, .* the seed 3 is in this list already"):
        repeat(PLACE, ["evaluate@seg_0_val"], [3], ["train@classifier_0"])
    assert source() == text


def test_what_stands_on_a_training_may_have_a_list_of_its_own() -> None:
    text = LISTED.replace("seed: *seeds", "run: [0, 1]").replace("<seed>", "<run>")
    wrote(text)
    repeated("evaluate@classifier_masks_0", 3, first=("train@classifier_0",))
    assert source() == text.replace("[0, 1, ]", "[0, 1, 3, ]").replace("run: [0, 1]", "run: [0, 1, 3]")


def test_an_evaluation_without_a_row_of_means_is_named() -> None:
    wrote(LISTED)
    done = repeated("evaluate@classifier_masks_0", 3, first=("train@classifier_0",))
    assert done.without_row == ("classifier_masks_0",)
    words = ["repeat", "evaluate@classifier_masks_1", "--seeds", "4", "--from", "train@classifier_1", "--book", PLACE]
    output = CliRunner().invoke(app, words).output
    assert output.startswith("recipes/mine/book.yaml: 8 entries added: ")
    assert (
        "No row of means has evaluate.classifier_masks_1 and the new ones: add `mean: NAME` to its `judge:`" in output
    )
    assert "python -m pipeline run evaluate@classifier_masks_4 --book recipes/mine" in output


@pytest.mark.parametrize(
    ("target", "seeds", "first", "message"),
    [
        ("evaluate@seg_0_val", [0], ["train@seg_0"], r"book.yaml line 35: train.seg_0 has the seed 0 itself"),
        ("evaluate@seg_0_val", [1], ["train@seg_0"], r"book.yaml line 30: the seed 1 is in this list already"),
        ("evaluate@seg_0_val", [1], [], r"train.classifier_1 is another entry than train.classifier_0 under that seed"),
        ("evaluate@seg_0_val", [8], ["train@seg_0"], r"train.seg_8.supervision: nothing makes supervision"),
    ],
)
def test_what_does_not_hold_is_not_written(target: str, seeds: list[int], first: list[str], message: str) -> None:
    wrote(LISTED)
    flat = Path(PLACE, "params.yaml").read_bytes()
    with pytest.raises(ConfigurationError, match=message):
        repeat(PLACE, [target], seeds, first)
    assert source() == LISTED
    assert Path(PLACE, "params.yaml").read_bytes() == flat


def test_a_chain_whose_end_does_not_vary_becomes_a_block_of_what_is_not_there() -> None:
    wrote(LISTED)
    done = repeated("evaluate@fixed", 1, first=("train@seam_0",))
    assert done.entries == ("make_pseudo_masks@fixed_1", "evaluate@fixed_1")
    assert source() == LISTED + (
        "\ntable:\n  repeats:\n    fixed: {of: [fixed]}\n"
        "\n# By `python -m pipeline repeat`: evaluate@fixed under other seeds. For more of them add to the list.\n"
        "fixed_seeds:\n  each: {seed: [1]}\n  make_pseudo_masks:\n"
        "    fixed_<seed>: {data: toy, cams: seam_<seed>, rule: complement, judge: {mean: fixed}}\n"
    )
    assert checked_book(PLACE).table.repeats["fixed"].of == ["fixed", "fixed_1"]


def test_seeds_of_which_some_are_there_are_named() -> None:
    there = "    fixed_1: {data: toy, cams: seam_1, rule: complement}\n"
    text = LISTED.replace("    fixed: {data: toy, cams", f"{there}    fixed: {{data: toy, cams")
    wrote(text.replace("[0, 1, ]", "[0, 1, 2]").replace("      - 1\n", "      - 1\n      - 2\n"))
    message = r"make_pseudo_masks.fixed_1 is there, and .*fixed_2 is not\. Remedy: name the seeds 1 and the others"
    with pytest.raises(ConfigurationError, match=message):
        repeat(PLACE, ["evaluate@fixed"], [1, 2], ["train@seam_0"])


def test_a_trained_end_with_a_seed_of_its_own_keeps_what_it_stands_on() -> None:
    wrote(LISTED)
    assert repeated("train@fixed", 1, 2, first=("train@fixed",)).entries == ("train@fixed_1", "train@fixed_2")
    assert "    fixed_<seed>: {data: toy, supervision: tags, method: classifier, init: seam_0, " in source()


def test_a_recipe_without_lists_gets_a_block_and_then_its_list_grows() -> None:
    wrote(ONCE)
    done = repeated("evaluate@val", 1, 2)
    assert done.targets == ("evaluate@val_1", "evaluate@val_2")
    assert done.rows == ("val",)
    block = (
        "\n# By `python -m pipeline repeat`: evaluate@val under other seeds. For more of them add to the list.\n"
        "val_seeds:\n  each: {seed: [1, 2]}\n"
        "  train:\n"
        "    cam_<seed>: {<<: *cam, seed: <seed>}\n"
        "    seg_<seed>: {<<: *cam, supervision: crf_<seed>, method: segmenter, seed: <seed>}\n"
        "  export_cams:\n"
        "    cam_<seed>: {<<: *exported, checkpoint: cam_<seed>, judge: false}\n"
        "  make_pseudo_masks:\n"
        "    crf_<seed>: {<<: *crf, cams: cam_<seed>, judge: false}\n"
        "  predict_masks:\n"
        "    seg_<seed>: {data: toy, split: val, checkpoint: seg_<seed>, crf: {preset: irn}, "
        "judge: {name: val_<seed>, mean: val}}\n"
    )
    assert source() == ONCE.replace("{title: Mine}", "{title: Mine, repeats: {val: {of: [val]}}}") + block
    assert checked_book(PLACE).table.repeats["val"].of == ["val", "val_1", "val_2"]
    before = source()
    assert repeated("evaluate@val", 3).targets == ("evaluate@val_3",)
    assert edits(before)[:2] == ["-   each: {seed: [1, 2]}", "+   each: {seed: [1, 2, 3]}"]
    assert checked_book(PLACE).table.repeats["val"].of == ["val", "val_1", "val_2", "val_3"]
    with pytest.raises(ConfigurationError, match=r"line \d+: the seed 2 is in this list already"):
        repeat(PLACE, ["evaluate@val"], [2, 4])


def test_a_longer_chain_takes_what_a_shorter_one_has() -> None:
    wrote(ONCE)
    repeated("evaluate@cam", 1)
    assert repeated("evaluate@pseudo_masks", 1).entries == ("make_pseudo_masks@crf_1", "evaluate@pseudo_masks_1")
    before = source()
    done = repeated("evaluate@pseudo_masks", 6)
    assert (
        edits(before)[1::2] == ["+   each: {seed: [1, 6]}"] * 2 or len([e for e in edits(before) if e[0] == "+"]) == 2
    )
    assert set(done.entries) == {
        "train@cam_6", "export_cams@cam_6", "make_pseudo_masks@crf_6", "evaluate@cam_6", "evaluate@pseudo_masks_6"
    }  # fmt: skip


def test_a_block_that_was_changed_since_is_not_the_recipe() -> None:
    wrote(ONCE)
    repeated("evaluate@cam", 1)
    changed = source().replace("{<<: *cam, seed: <seed>}", "{<<: *cam, seed: <seed>, settings: {epochs: 2}}")
    wrote(changed)
    with pytest.raises(ConfigurationError, match=r"train.cam_5.settings would be .*expected \{'epochs': 1\}"):
        repeat(PLACE, ["evaluate@cam"], [5])
    assert source() == changed


def test_a_text_of_another_form_is_left_alone() -> None:
    text = "\n".join(f"  {line}".rstrip() for line in ONCE.replace("# Mine.\n", "").splitlines()) + "\n"
    wrote(text)
    with pytest.raises(ConfigurationError, match=r"(?s)add this by hand:\n# table.repeats: cam: .*cam_seeds:\n  each"):
        repeat(PLACE, ["evaluate@cam"], [1])
    assert source() == text


def test_a_row_that_is_there_is_named() -> None:
    wrote(ONCE.replace("{title: Mine}", "{repeats: {cam: {of: [cam]}}}"))
    done = repeated("evaluate@cam", 1)
    assert (done.rows, done.existing_rows) == ((), ("cam",))
    assert checked_book(PLACE).table.repeats["cam"].of == ["cam"]


@pytest.mark.parametrize("target", ["evaluate@segmenter_val", "evaluate@pseudo_masks"])
def test_a_copy_repeats_as_the_plain_book_does(target: str) -> None:
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    copy_book(".", "recipes/yours")
    plain, listed = repeat(".", [target], [1, 2]), repeat("recipes/yours", [target], [1, 2])
    assert set(plain.entries) == set(listed.entries)
    assert (plain.targets, plain.rows) == (listed.targets, listed.rows)
    one, other = checked_book("."), checked_book("recipes/yours")
    for verb, name in one.entries():
        assert one.entry(verb, name) == other.entry(verb, name)
    assert one.table == other.table
