"""book.yaml and the params.yaml that it stands for."""

from __future__ import annotations

import datetime
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from models.errors import ConfigurationError
from pipeline.book.agreement import differences
from pipeline.book.artifacts import OPTIONAL, SECTIONS, VERBS
from pipeline.book.check import check
from pipeline.book.expansion import expand
from pipeline.book.flat_text import HEAD, flat_text
from pipeline.book.judge import COLUMN
from pipeline.book.lineage import REFERENCES
from pipeline.book.params import Book
from pipeline.book.yaml_text import _FastLoader, _PureLoader, parse_yaml

ROOT = Path(__file__).parents[3]
BOOKS = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("[!x]*/params.yaml"))]

TEXT = """\
book: {root: ., path: ., params: params.yaml, work: work/x}
table:
  title: Two kinds
  recipes:
    boxes: {published: spml_boxes}
prepare:
  six: {reader: voc, root: data}
chain:
  each:
    kind: {points: {seeds: clicks, label: Points (real)}, boxes: {seeds: boxes, label: Boxes}}
    seed: [0, 1]
  train:
    <kind>_<seed>: &net {data: six, supervision: <kind.seeds>, seed: <seed>, settings: {lr: 0.1, note: "<kind> <seed>"}}
  export_cams:
    <kind>_<seed>: {data: six, checkpoint: <kind>_<seed>, judge: {row: <kind>, label: <kind.label>}}
  predict_masks:
    <kind>_<seed>:
      data: six
      split: val
      checkpoint: <kind>_<seed>
      crf: {preset: irn}
      judge:
        - {row: <kind>, mean: {key: <kind>, label: "Mean, <kind.label>"}}
        - {name: "<kind>_<seed>_hard", split: hard, options: {void: false}}
full:
  train:
    full: {<<: *net, supervision: masks, seed: 7, settings: {lr: 0.2}}
  predict_masks:
    full: {data: six, split: val, checkpoint: full, judge: full_bound}
"""


WANTED = [verb for verb in SECTIONS if verb not in OPTIONAL]
"""Sections that stand in a params.yaml even where they are empty."""


def test_optional_sections_stand_where_they_have_entries() -> None:
    made = expand("x:\n  align_cams: {a: {data: d}}\n").content
    assert set(made) == {*WANTED, "align_cams"}
    assert [verb for verb in made if verb in SECTIONS] == [verb for verb in SECTIONS if verb in made]
    assert set(OPTIONAL) < set(SECTIONS)


def test_blocks_each_and_judge_in_a_small_book() -> None:
    made = expand(TEXT).content
    assert list(made) == ["book", "table", *WANTED]
    order = ["points_0", "points_1", "boxes_0", "boxes_1"]
    assert list(made["train"]) == [*order, "full"]
    assert made["train"]["points_1"] == {
        "data": "six",
        "supervision": "clicks",
        "seed": 1,
        "settings": {"lr": 0.1, "note": "points 1"},
    }
    assert made["train"]["full"] == {"data": "six", "supervision": "masks", "seed": 7, "settings": {"lr": 0.2}}
    assert made["export_cams"]["boxes_0"] == {"data": "six", "checkpoint": "boxes_0"}
    assert made["predict_masks"]["full"] == {"data": "six", "split": "val", "checkpoint": "full"}
    assert made["refine_cams"] == {}
    evaluated = made["evaluate"]
    expected = [name for one in order for name in (one, f"{one}_val", f"{one}_hard")]
    assert sorted(evaluated) == sorted([*expected, "full_bound"])
    assert evaluated["points_0"] == {"data": "six", "of": "cams/points_0"}
    assert evaluated["points_0_val"] == {"data": "six", "of": "masks/points_0"}
    assert evaluated["boxes_1_hard"] == {
        "data": "six",
        "of": "masks/boxes_1",
        "split": "hard",
        "options": {"void": False},
    }
    assert evaluated["full_bound"] == {"data": "six", "of": "masks/full"}
    assert made["table"] == {
        "title": "Two kinds",
        "recipes": {
            "boxes": {"label": "Boxes", "cam": "boxes_0", "val_crf": "boxes_0_val", "published": "spml_boxes"},
            "points": {"label": "Points (real)", "cam": "points_0", "val_crf": "points_0_val"},
        },
        "repeats": {
            "points": {"label": "Mean, Points (real)", "of": ["points_0_val", "points_1_val"]},
            "boxes": {"label": "Mean, Boxes", "of": ["boxes_0_val", "boxes_1_val"]},
        },
    }
    assert list(made["table"]["recipes"]) == ["boxes", "points"], "a row that is written plainly has its place"
    assert list(made["table"]["recipes"]["boxes"]) == ["label", "cam", "val_crf", "published"]


def test_lines_are_those_of_the_book_that_one_edits() -> None:
    expansion = expand(TEXT)

    def at(key: str) -> str:
        number = expansion.line(tuple(key.split(".")))
        return TEXT.splitlines()[number - 1].strip() if number else ""

    assert at("train.boxes_1.settings.lr").startswith("<kind>_<seed>: &net")
    assert at("predict_masks.points_0.crf.preset") == "crf: {preset: irn}"
    assert at("predict_masks.points_0.nothing") == "<kind>_<seed>:"
    assert at("evaluate.points_0_val.of").startswith("- {row: <kind>")
    assert at("evaluate.points_1_hard.options.void").startswith("- {name:")
    assert at("table.recipes.boxes.published") == "boxes: {published: spml_boxes}"
    assert at("table.recipes.boxes.val_crf").startswith("- {row: <kind>")
    assert at("table.title") == "title: Two kinds"
    assert at("train.full.settings.lr").startswith("full: {<<: *net")
    assert at("train.full.data").startswith("<kind>_<seed>: &net"), "merged: where it was written"
    assert at("nothing") == ""


def test_what_varies_multiplies_in_sections_tables_and_blocks_within_blocks() -> None:
    made = expand(
        "table:\n"
        "  recipes: {each: {kind: [a, b]}, <kind>: {val: <kind>_x_0_val}}\n"
        "  repeats: {each: {kind: [a]}, <kind>: {of: [<kind>_x_0_val, <kind>_x_1_val]}}\n"
        "outer:\n"
        "  each: {kind: [a, b]}\n"
        "  inner:\n"
        "    each: {size: {x: {most: 3, <kind>_least: 1}}}\n"
        "    train:\n"
        "      each: {seed: [0, 1]}\n"
        "      <kind>_<size>_<seed>: {seed: <seed>, model: {<kind>: <size.most>, list: [<seed>, a<seed>]}}\n"
    ).content
    assert list(made["train"]) == ["a_x_0", "a_x_1", "b_x_0", "b_x_1"]
    assert made["train"]["b_x_1"] == {"seed": 1, "model": {"b": 3, "list": [1, "a1"]}}
    assert made["table"]["recipes"] == {"a": {"val": "a_x_0_val"}, "b": {"val": "b_x_0_val"}}
    assert made["table"]["repeats"] == {"a": {"of": ["a_x_0_val", "a_x_1_val"]}}


def test_the_example_of_the_page_on_books() -> None:
    page = (ROOT / "docs" / "books.md").read_text(encoding="utf-8")
    book, params = (text.split("```")[0] for text in page.split('.yaml"\n')[1:3])
    stated = parse_yaml(params)
    assert expand(book).content == {**{verb: {} for verb in WANTED}, **stated}
    check(Book.model_validate(expand(book).content))


@pytest.mark.parametrize("verb", COLUMN)
def test_every_artefact_has_its_column(verb: str) -> None:
    entry = "{data: d, split: val, judge: {row: r, label: L, published: p}}"
    made = expand(f"{verb}:\n  x: {entry}\n").content
    (name,) = made["evaluate"]
    kind = made["evaluate"][name]["of"].partition("/")[0]
    assert verb in {v for v in VERBS if kind in ("cams", "supervision", "masks")}
    assert name == ("x_val" if verb == "predict_masks" else "x")
    assert made["table"]["recipes"]["r"] == {"label": "L", COLUMN[verb]: name, "published": "p"}


def test_judge_is_switched_off_overridden_or_gives_a_mean_alone() -> None:
    made = expand(
        "export_cams:\n"
        "  a: &a {data: d, judge: {row: r, column: refined}}\n"
        "  b: {<<: *a, judge: false}\n"
        "  c: {<<: *a, judge: true}\n"
        "  e: {<<: *a, judge: {mean: m, label: M}}\n"
        "  f: {<<: *a, judge: [{name: f_1, mean: m}, {name: f_2}]}\n"
    ).content
    assert list(made["evaluate"]) == ["a", "c", "e", "f_1", "f_2"]
    assert made["table"] == {"recipes": {"r": {"refined": "a"}}, "repeats": {"m": {"label": "M", "of": ["e", "f_1"]}}}


def test_outside_of_each_text_is_as_it_is_written() -> None:
    text = "table: {title: Made & <b>bold</b>, recipes: {a: {label: <i>}}}\ntrain: {a: {model: {x: <b>}}}\n"
    made = expand(text).content
    assert made["train"]["a"] == {"model": {"x": "<b>"}}
    assert made["table"]["recipes"]["a"] == {"label": "<i>"}


ENTRY = "train: {a_<s>: {}}"
ERRORS = {
    "a: [": r"book.yaml is not valid YAML",
    "a: &a [*a]": "is not valid YAML",
    "[]": "expected sections",
    "train: {}\ntrain: {}": "'train' stands twice",
    "each: {s: [0]}\ntrain: {}": "line 1: `each:` belongs in a block",
    "trian: {cam: {data: six}}": "line 1: 'trian' is neither a section nor a block.* Did you mean 'train'",
    "x:\n  trian: {cam: {data: six}}": "line 2: 'trian' is neither .* Did you mean 'train'",
    "x:\n  train: {}\n  refin_cams: 3": "line 3: 'refin_cams' is neither .* Did you mean 'refine_cams'",
    "tabel: {title: x}": "line 1: 'tabel' is neither .* Did you mean 'table'",
    "x: 3": "line 1: 'x' is neither a section nor a block",
    "x: {}": "line 1: 'x' is neither a section nor a block",
    "X: {train: {}}": "line 1: expected the name of a block in lower case, digits and underscores, found 'X'",
    "x:\n  train: {}\n  table: {}": "line 3: `table:` belongs at the top",
    "x:\n  train:\n": "line 2: train: expected entries below it .*, found nothing",
    f"x:\n  each: [s]\n  {ENTRY}": r"line 2: each: expected variables with their values",
    f"x:\n  each: {{}}\n  {ENTRY}": "line 2: each: expected variables .*, found none",
    f"x:\n  each: {{S: [0]}}\n  {ENTRY}": "line 2: each: expected names in lower case.* found 'S'",
    f"x:\n  each: {{s: 3}}\n  {ENTRY}": "line 2: each: expected the values of s in a list",
    f"x:\n  each: {{s: []}}\n  {ENTRY}": r"line 2: each: expected the values of s .* found \[\]",
    f"x:\n  each: {{s: [[0]]}}\n  {ENTRY}": "line 2: each: expected words or numbers for s",
    f"x:\n  each: {{s: [0, 1, 0]}}\n  {ENTRY}": "line 2: each: the value 0 of s stands twice",
    f"x:\n  each:\n    s:\n      a: 3\n  {ENTRY}": "line 4: a: expected facts of s a",
    "x:\n  each: {s: [0]}\n  y:\n    each: {s: [1]}\n    train: {a_<s>: {}}":
        r"line 4: each: 's' varies already \(line 2\)",
    "x:\n  each: {seed: [0]}\n  train:\n    a_<seed>:\n      seed: <sed>":
        "line 5: unknown placeholder <sed>. Did you mean 'seed'",
    "x:\n  each: {seed: [0]}\n  train:\n    a_<sed>: {}": "line 4: 'a_<sed>' would be made again for each seed",
    "x:\n  each: {seed: [0]}\n  train:\n    a_<seed>: {}\n    b: {}":
        r"line 5: 'b' would be made again for each seed \(line 2\)",
    "x:\n  each: {k: {a: {label: L}}}\n  train:\n    <k>:\n      data: <k.lable>":
        "line 5: unknown placeholder <k.lable>: no 'lable' of k a .*Did you mean 'label'",
    "x:\n  each: {k: {a: {list: [1]}}}\n  train:\n    <k>:\n      data: a <k.list>":
        r"line 5: <k.list> stands for \[1\]: expected a word",
    "x:\n  each: {k: [true]}\n  train:\n    a_<k>: {}": "line 4: <k> stands for True",
    "x:\n  each: {k: [a]}\n  train:\n    <k>: {m: {<k>: 1, a: 2}}": "line 4: key 'a' stands twice",
    "x:\n  each: {seed: [0]}\n  train: {a_<seed>: {}}\ntrain:\n  b: {seed: <seed>}":
        "line 5: unknown placeholder <seed>. It stands outside",
    "train: {a: {}}\nx:\n  train: {a: {}}": r"line 3: train.a is there already, from line 1",
    "x:\n  each: {k: {a: {n: z}, b: {n: z}}}\n  train: {<k.n>: {}}":
        "line 3: train.z is there already, from line 3. Write a placeholder",
    "export_cams:\n  a: {data: d, judge: true}\nevaluate: {a: {}}": "line 3: evaluate.a is there already, from line 2",
    "train:\n  a: {judge: true}": "line 2: judge: train makes nothing to judge",
    "export_cams:\n  a: {judge: }": "line 2: judge: expected true",
    "export_cams:\n  a:\n    judge:\n      rwo: x": "line 4: judge: unknown key 'rwo'. Did you mean 'row'",
    "export_cams:\n  a:\n    judge:\n      row: [x]": r"line 4: judge.row: expected a word, found \['x'\]",
    "export_cams:\n  a:\n    judge: {row: x, column: came}": "line 3: judge: unknown column 'came'. Did you mean 'cam'",
    "export_cams:\n  a:\n    judge: {published: x}": "line 3: judge.published: expected `row:` beside it",
    "export_cams:\n  a:\n    judge: {column: cam, mean: m}": "line 3: judge.column: expected `row:` beside it",
    "export_cams:\n  a:\n    judge: {label: x}": "line 3: judge.label: expected `row:` or `mean:` beside it",
    "export_cams:\n  a:\n    judge: {mean: {label: x}}": "line 3: judge.mean: expected `key:`",
    "export_cams:\n  a:\n    judge: {mean: {key: x, of: y}}": "line 3: mean: unknown key 'of'",
    "export_cams:\n  a: {judge: {row: r}}\n  b: {judge: {row: r}}":
        "line 3: table.recipes.r.cam would be 'b', and is 'a' already, from line 2",
    "table:\n  recipes:\n    r: {cam: x}\nexport_cams:\n  a: {judge: {row: r}}":
        "line 5: table.recipes.r.cam would be 'a', and is 'x' already, from line 3",
    "export_cams:\n  a: {judge: {row: r, label: A}}\nrefine_cams:\n  b: {judge: {row: r, label: B}}":
        "line 4: table.recipes.r.label would be 'B', and is 'A' already, from line 2",
    "table: 3\nexport_cams:\n  a: {judge: {row: r}}": "line 1: table: expected keys below it, found 3",
    "table:\n  recipes: []": r"line 2: recipes: expected rows below it, found \[\]",
    "table:\n  repeats: {m: {of: x}}\nexport_cams:\n  a: {judge: {mean: m}}":
        "line 4: table.repeats.m.of: expected a list",
    "table:\n  recipes: {r: 3}\nexport_cams:\n  a: {judge: {row: r}}": "line 2: r: expected keys below it, found 3",
    "table:\n  recipes:\n    each: {k: [a, b]}\n    r: {}": "line 4: 'r' would be made again for each k",
    "table:\n  recipes:\n    each: {k: {a: {n: z}, b: {n: z}}}\n    <k.n>: {}":
        "line 4: table.recipes.z is there already, from line 4",
}  # fmt: skip


@pytest.mark.parametrize("text", ERRORS)
def test_what_does_not_hold_names_its_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^book\.yaml") as error:
        expand(text)
    assert error.match(ERRORS[text])


def test_sections_stand_as_in_a_params_yaml() -> None:
    assert [name for name in Book.model_fields if name not in ("book", "table")] == list(SECTIONS)
    assert set(SECTIONS) == set(VERBS)
    assert set(COLUMN) == {
        verb for verb in VERBS if verb not in ("prepare", "import_weights", "import_proposals", "train")
    } - {
        "evaluate",
        "evaluate_boxes",
    }
    assert "judge" not in REFERENCES


@pytest.mark.parametrize("file", BOOKS, ids=lambda path: path.parent.name)
def test_a_plain_book_expands_to_itself_for_every_reader(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    content = parse_yaml(text)
    assert repr(content) == repr(yaml.load(text, _PureLoader)), "libyaml reads as PyYAML does"  # noqa: S506
    expansion = expand(text)
    assert list(differences(content, expansion.content)) in ([], ["the order of sections"])
    flat = flat_text(expansion.content)
    assert flat.startswith(HEAD)
    assert "&" not in flat.replace(" & ", "")
    assert repr(parse_yaml(flat)) == repr(expansion.content)
    assert repr(expand(flat).content) == repr(expansion.content)
    assert flat_text(expand(flat).content) == flat
    assert YAML(typ="safe").load(flat) == expansion.content
    entries = sum(len(expansion.content.get(verb, {})) for verb in SECTIONS)
    assert sum(flat.splitlines().count(f"{verb}:") for verb in SECTIONS) + entries <= len(flat.splitlines())


WORDS = """
on off yes no y n null ~ true True 010 0o17 0x1f 0b11 1e 0. 1e3 1e-4 1.5e3 1_000 1:30 12:30:45 2026-01-01 .5 +.5 -1
-.inf -_ -0_ .NaN << = ! & * @ % | > - ? : # , [ ] { } ' " a: a:b a#b
"""
SPACED = (
    "",
    " ",
    " a",
    "a ",
    "a: b",
    "a #b",
    "a\nb",
    "\ta",
    "é",
    "\u2028",
    "\x85",
    "\ufeff",
    "😀",
    "1 2",
    "- a",
    "k" * 200,
)
TRICKY = st.sampled_from([*WORDS.split(), *SPACED])
SCALARS = st.one_of(
    TRICKY,
    st.text(max_size=20),
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
)
KEYS = st.one_of(TRICKY, st.text(max_size=12))
VALUES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3))


@given(st.dictionaries(KEYS, VALUES, max_size=4), KEYS)
def test_both_versions_of_yaml_read_the_same_from_one_line_an_entry(entry: dict[str, Any], name: str) -> None:
    content = {"book": {}, "table": {"recipes": {name: entry}}, "train": {name: entry, f"{name}_": 1}}
    flat = flat_text(content)
    assert repr(parse_yaml(flat)) == repr(content)
    assert repr(yaml.load(flat, _PureLoader)) == repr(content)  # noqa: S506
    assert repr(_plain(YAML(typ="safe", pure=True).load(flat))) == repr(content)
    assert len(flat.splitlines()) == 10


def _plain(read: Any) -> Any:
    return {key: _plain(value) for key, value in read.items()} if isinstance(read, dict) else read


def test_other_values_come_back() -> None:
    content = {"book": {"a": datetime.date(2026, 1, 2), "b": [math.inf, -math.inf], "c": 1e-05, "d": 1e22, 3: -0.0}}
    flat = flat_text(content)
    assert repr(parse_yaml(flat)) == repr(content)
    assert YAML(typ="safe").load(flat) == content


def test_text_that_is_nested_too_deep_is_an_error_and_no_end_of_the_process() -> None:
    code = (
        "import sys; from pipeline.book.yaml_text import *\n"
        "try: parse_yaml(eval(sys.argv[1]))\n"
        "except yaml.YAMLError as e: print(e)"
    )
    for text in (
        "'['*90000+']'*90000",
        "'a: ['*400+']'*400",
        "'- '*90000",
        "''.join(' '*k+'a:\\n' for k in range(2000))",
    ):
        ended = subprocess.run(
            [sys.executable, "-c", code, text], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (ended.returncode, ended.stderr) == (0, ""), text
        assert "nested too deep" in ended.stdout, text


@pytest.mark.parametrize("loader", [_PureLoader, _FastLoader])
def test_both_scanners_want_keys_once_and_read_1e_3_as_a_number(loader: Any) -> None:
    assert yaml.load("a: [1e-3, 1E+4, -2e5, 1e, on, 010]", loader) == {"a": [1e-3, 1e4, -2e5, "1e", True, 8]}  # noqa: S506
    with pytest.raises(yaml.YAMLError, match="'a' stands twice"):
        yaml.load("{a: 1, a: 2}", loader)  # noqa: S506


def test_differences_name_entries_types_and_order() -> None:
    old = {"book": {"work": "x"}, "table": {"recipes": {"r": {"val": "a"}}}, "train": {"a": {"x": 1}, "b": {}, "c": {}}}
    new = {
        "book": {"work": "y"},
        "table": {"recipes": {"r": {"val": "b"}}},
        "train": {"a": {"x": 1.0}, "b": {}, "d": {}},
    }
    assert list(differences(old, new)) == [
        "book.work (changed)", "table.recipes.r (changed)", "train@a (changed)", "train@c (removed)", "train@d (new)",
    ]  # fmt: skip
    assert list(differences(old, old)) == []
    assert list(differences(None, new)) == ["everything (new)"]
    assert list(differences({"train": {"a": 1, "b": 2}}, {"train": {"b": 2, "a": 1}})) == ["train (its order)"]
