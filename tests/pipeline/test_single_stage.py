"""Single-stage methods through the verbs of a book: alone, before a refinement chain, after and before others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from models.errors import ConfigurationError
from pipeline.book.check import check
from pipeline.book.lineage import ancestors
from pipeline.book.params import load_book
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore
from tests.helpers.chain import Chain, chain_in, root_content

ROOT = Path(__file__).parents[2]
RTC = {"backbone": "resnet18", "width": 0.25, "feature_width": 8, "head_width": 8, "second_size": 32}
WHOLE = ("cam", "refined", "pseudo", "alone", "gated", "second", "second_of_cams", "warm")
"""Evaluations: of RTC's CAMs, of these refined, of its predictions as pseudo-masks, of its own segmentation, of that
with its published inference, of segmenters taught by its predictions and by its CAMs, of RTC that started from CAMs."""


def content() -> dict[str, Any]:
    found = root_content()
    found["prepare"]["toy"]["options"]["train"] = 4
    found["prepare"]["toy"]["options"] = {"seed": 3, "train": 4, "val": 2, "min_size": 64, "max_size": 72}
    toy = {"data": "toy"}
    shared = toy | {
        "supervision": "tags",
        "init": "random",
        "loader": {"crop": 64, "batch_size": 2, "num_workers": 0},
        "settings": {"steps": 2, "lr": 0.01},
    }
    small = {"backbone": "resnet18", "width": 0.25}
    found["train"] = {
        "rtc": shared | {"method": "rtc", "model": RTC | {"segmentation_start": 0.0}},
        "plain": shared | {"method": "classifier", "model": small},
        "rtc_warm": shared | {"method": "rtc", "init": "plain", "model": RTC},
        "second": shared | {"method": "segmenter", "supervision": "predicted", "model": small},
        "second_of_cams": shared | {"method": "segmenter", "supervision": "refined", "model": small},
    }
    export = toy | {"supervision": "tags", "checkpoint": "rtc"}
    found["export_cams"] = {
        "rtc": export | {"options": {"scales": [1.0], "grid": 8}},
        "posteriors": export | {"options": {"scales": [1.0], "maps": "posteriors"}},
    }
    found["refine_cams"] = {"refined": toy | {"cams": "rtc", "refiner": "pixel_adaptive", "options": {"kind": "varm"}}}
    found["make_pseudo_masks"] = {
        "predicted": toy | {"cams": "posteriors", "rule": "complement"},
        "refined": toy | {"cams": "refined", "rule": "two_threshold"},
    }
    on_val = toy | {"split": "val"}
    published = {"scales": [0.5, 1.0], "flip": True, "average": "probabilities", "gate": True, "background": 0.17}
    found["predict_masks"] = {
        "alone": on_val | {"checkpoint": "rtc"},
        "gated": on_val
        | {"checkpoint": "rtc", "options": published, "crf": {"preset": "irn", "certainty": 0.7, "iterations": 2}},
        "warm": on_val | {"checkpoint": "rtc_warm"},
        "second": on_val | {"checkpoint": "second"},
        "second_of_cams": on_val | {"checkpoint": "second_of_cams"},
    }
    masks = ("alone", "gated", "warm", "second", "second_of_cams")
    found["evaluate"] = {name: toy | {"of": f"masks/{name}"} for name in masks}
    found["evaluate"] |= {"cam": toy | {"of": "cams/rtc"}, "refined": toy | {"of": "cams/refined"}}
    found["evaluate"]["pseudo"] = toy | {"of": "supervision/predicted"}
    return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    yield from chain_in(tmp_path_factory.mktemp("single_stage"), "single_stage", content())


@pytest.mark.parametrize("name", WHOLE)
def test_every_place_in_the_graph(chain: Chain, name: str) -> None:
    metrics = chain.evaluated(name)
    assert metrics["images"] == (4 if name in ("cam", "refined", "pseudo") else 2)


def test_the_short_graph_needs_no_cams(chain: Chain) -> None:
    verbs = [verb for verb, _ in ancestors(chain.book, "evaluate", "alone")]
    assert "export_cams" not in verbs
    assert "make_pseudo_masks" not in verbs


def test_pseudo_masks_of_predictions_keep_to_the_tags(chain: Chain) -> None:
    chain.run("evaluate", "pseudo")
    made = SupervisionStore(chain.work / "supervision" / "predicted")
    for id in made.ids:
        labels = set(np.unique(made[id].seeds)) - {0}
        assert labels <= set(np.flatnonzero(made.tags(id)) + 1)
    posteriors = CamStore(chain.work / "cams" / "posteriors")
    assert all((posteriors[id].scores.sum(0) <= 1.001).all() for id in posteriors.ids)


def test_predictions_are_not_restricted(chain: Chain) -> None:
    chain.run("evaluate", "alone")
    assert len(MaskStore(chain.work / "masks" / "alone").ids) == 2


def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any) -> str:
    book = content()
    change(book)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(book))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        check(load_book())
    return str(caught.value)


def test_a_page_without_a_decoder_cannot_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(tmp_path, monkeypatch, lambda b: b["train"]["rtc"]["model"].update(segmentation=0.0))
    assert "trained with segmentation: 0" in message


def test_posteriors_need_a_segmenter_and_a_gate_one_that_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(book: dict[str, Any]) -> None:
        book["export_cams"]["posteriors"]["checkpoint"] = "plain"
        book["predict_masks"]["gated"]["checkpoint"] = "second"

    message = refused(tmp_path, monkeypatch, change)
    assert "'plain' is trained by 'classifier', which cannot segment" in message
    assert "'second' is trained by 'segmenter', which cannot say whether a class is in an image" in message
