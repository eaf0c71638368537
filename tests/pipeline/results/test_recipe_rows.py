"""Which evaluation fills which column, and what the check says about the wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import ConfigurationError
from pipeline.book.check import check
from pipeline.results.tables.recipes import recipes
from tests.helpers.toy_results import toy_content, write_book


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    found = toy_content()
    found["predict_masks"]["tested"] = found["predict_masks"]["segmenter"] | {"crf": {"preset": "irn"}}
    found["evaluate"]["val_crf"] = {"data": "toy", "of": "masks/tested"}
    found["evaluate"]["refined"] = {"data": "toy", "of": "cams/cam_crf"}
    return found


def rows(folder: Path, content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    book = write_book(folder, content)
    check(book)
    return {key: row.model_dump(exclude_none=True) for key, row in recipes(book).items()}


FOUND = {
    "cam": "cam",
    "refined": "refined",
    "pseudo_masks": "pseudo_masks",
    "val": "segmenter_val",
    "val_crf": "val_crf",
}


@pytest.mark.parametrize("named", [{"val": "segmenter_val"}, {"val_crf": "val_crf"}])
def test_the_graph_fills_what_a_recipe_does_not_name(tmp_path: Path, content: Any, named: dict[str, str]) -> None:
    content["table"]["recipes"] = {"plain": {"label": "Plain"} | named}
    assert rows(tmp_path, content) == {"plain": {"label": "Plain"} | FOUND}


def test_what_is_named_stays(tmp_path: Path, content: Any) -> None:
    content["evaluate"]["again"] = content["evaluate"]["cam"]
    content["table"]["recipes"] = {"plain": {"pseudo_masks": "pseudo_masks", "cam": "again"}}
    expected = {"label": "", "cam": "again", "refined": "refined", "pseudo_masks": "pseudo_masks"}
    assert rows(tmp_path, content) == {"plain": expected}


def test_without_recipes_there_is_a_row_for_each_segmenter(tmp_path: Path, content: Any) -> None:
    del content["table"]["recipes"]
    found = rows(tmp_path, content)
    assert found == {"segmenter": {"label": ""} | FOUND, "full": {"label": "", "val": "full_val"}}


def test_without_a_segmenter_the_end_of_the_chain_has_the_row(tmp_path: Path, content: Any) -> None:
    del content["table"]["recipes"]
    content["table"]["bound"] = None
    content["evaluate"] = {name: content["evaluate"][name] for name in ("cam", "pseudo_masks")}
    assert rows(tmp_path, content) == {"pseudo_masks": {"label": "", "cam": "cam", "pseudo_masks": "pseudo_masks"}}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"val": "segmenter_vall"}, "plain.val: no evaluation 'segmenter_vall'. Did you mean 'segmenter_val'"),
        ({"cam": "segmenter_val"}, "table.recipes.plain.cam: 'segmenter_val' judges masks/segmenter"),
        ({"cam": "refined"}, "expected an evaluation of what export_cams makes: cam."),
        ({"val": "val_crf"}, "predicted with a CRF. Name it under val_crf."),
        ({"cam": "cam", "published": "inr"}, "no published numbers called 'inr'. Did you mean 'irn'?"),
        ({"label": "nothing"}, "table.recipes.plain: names no evaluation."),
        ({"vall": "segmenter_val"}, "table.recipes.plain.vall: unknown key 'vall'. Did you mean 'val'?"),
    ],
)  # fmt: skip
def test_the_check_names_what_was_meant(tmp_path: Path, content: Any, recipe: dict[str, str], message: str) -> None:
    content["table"]["recipes"] = {"plain": recipe}
    with pytest.raises(ConfigurationError) as caught:
        check(write_book(tmp_path, content))
    assert message in str(caught.value)


def test_a_misspelt_bound(tmp_path: Path, content: Any) -> None:
    content["table"]["bound"] = "full_vall"
    with pytest.raises(ConfigurationError, match=r"table\.bound.*Did you mean 'full_val'"):
        check(write_book(tmp_path, content))


def test_the_check_knows_the_evaluations_of_repeats(tmp_path: Path, content: Any) -> None:
    content["table"]["repeats"] = {"plain": {"of": ["cam", "cma"]}}
    with pytest.raises(ConfigurationError, match=r"table.repeats.plain.of: no evaluation 'cma'. Did you mean 'cam'"):
        check(write_book(tmp_path, content))
