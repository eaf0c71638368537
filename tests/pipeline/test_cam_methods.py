"""Every method that learns CAMs and every add-on, through the verbs of a book on made images, in one process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.book.lineage import ancestors
from pipeline.storage.checkpoints import read_checkpoint
from pipeline.storage.stores import CamStore
from pipeline.tracking.log import Log
from tests.helpers.chain import Chain, chain_in, root_content
from tests.helpers.pages import TRANSFORMER

ROOT = Path(__file__).parents[2]

TRAINED: dict[str, dict[str, Any]] = {
    "plain": {"method": "classifier"},
    "plain_boosted": {"method": "classifier", "add_ons": {"ppc": {"width": 8}, "hfpl": {"sigma": 1.0}}},
    "icam": {"method": "classifier", "add_ons": {"hfpl": {"reading": "multinomial", "draws": 20, "sampling": 0.8}}},
    "siamese": {"method": "seam", "options": {"second_size": 32}},
    "siamese_boosted": {
        "method": "seam",
        "options": {"second_size": 32},
        "add_ons": {"hfpl": {}, "ppc": {"width": 8}},
        "precision": "bf16-mixed",
    },
    "recam": {"method": "recam", "init": "plain"},
    "recam_boosted": {"method": "recam", "init": "plain", "add_ons": {"hfpl": {}}},
    "rcm": {"method": "rcm_mam", "options": {"mam": 0.0, "feature_width": 8}},
    "rcm_mam": {"method": "rcm_mam", "init": "rcm", "options": {"feature_width": 8}},
    "rcm_mam_boosted": {
        "method": "rcm_mam",
        "init": "rcm",
        "options": {"feature_width": 8, "queue": 3},
        "add_ons": {"hfpl": {}, "ppc": {"width": 8}},
    },
    "one_stage": {"method": "one_stage", "options": {"head_width": 16, "pretrain": 0.5, "output_stride": 8}},
    "toco": {"method": "toco", "options": TRANSFORMER | {"pretrain": 0.5, "crop_side": 16}},
    "dupl": {"method": "dupl", "options": TRANSFORMER | {"pretrain": 0.5, "noise_start": 0.5, "head_width": 16}},
    "amn": {"method": "amn", "init": "plain", "supervision": "confident"},
}
"""Names of trainings, and of the CAMs and evaluations that follow."""
SINGLE_STAGE = {"one_stage": "mask", "toco": "energy", "dupl": "agreement"}
"""Those that segment too, and a late part of their loss."""


def content() -> dict[str, Any]:
    found = root_content()
    found["refine_cams"] = {}
    shared = {
        "data": "toy",
        "supervision": "tags",
        "init": "random",
        "loader": {"crop": 64, "batch_size": 3, "num_workers": 0},
        "settings": {"steps": 2, "lr": 0.01},
    }
    found["train"] = {
        name: shared
        | {key: value for key, value in recipe.items() if key != "options"}
        | {"model": {"backbone": "resnet18", "width": 0.25} | recipe.get("options", {})}
        for name, recipe in TRAINED.items()
    }
    found["export_cams"] = {
        name: {"data": "toy", "supervision": "tags", "checkpoint": name, "options": {"scales": [1.0], "grid": 8}}
        for name in TRAINED
    }
    found["make_pseudo_masks"] = {
        "confident": {"data": "toy", "cams": "plain", "rule": "ir_label", "options": {"preset": "amn_seed"}}
    }
    found["predict_masks"] = {name: {"data": "toy", "split": "val", "checkpoint": name} for name in SINGLE_STAGE}
    found["evaluate"] = {name: {"data": "toy", "of": f"cams/{name}"} for name in TRAINED}
    found["evaluate"] |= {f"{name}_masks": {"data": "toy", "of": f"masks/{name}"} for name in SINGLE_STAGE}
    return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    yield from chain_in(tmp_path_factory.mktemp("methods"), "cam_methods", content())


@pytest.mark.parametrize("name", TRAINED)
def test_from_images_to_scores(chain: Chain, name: str) -> None:
    work = chain.work
    metrics = chain.evaluated(name)
    assert metrics["images"] == 6
    store = CamStore(work / "cams" / name)
    assert len(store.ids) == 6
    assert all(np.isfinite(store[id].scores).all() for id in store.ids)
    card, state = read_checkpoint(work / "checkpoints" / name)
    assert card.method == TRAINED[name]["method"]
    assert ("add_ons.ppc.projection.weight" in state) == ("ppc" in TRAINED[name].get("add_ons", {}))


class Tags(Log):
    def __init__(self) -> None:
        self.found: dict[str, object] = {}

    def tags(self, values: Mapping[str, object]) -> None:
        self.found |= values


def test_a_training_tells_what_it_started_from(chain: Chain) -> None:
    chain.run("evaluate", "rcm")
    log = Tags()
    import_module("pipeline.binders.train").run(chain.book, "rcm_mam_boosted", log)
    assert re.fullmatch(
        r"rcm: \d+ entries loaded, 2 start anew \(queued, add_ons\.ppc\.projection\.weight\), 0 not used",
        str(log.found["init"]),
    )
    assert log.found["precision"] == "32-true"


@pytest.mark.parametrize("name", SINGLE_STAGE)
def test_a_single_stage_method_segments_too(chain: Chain, name: str) -> None:
    """evaluate . predict_masks . train . annotate: no verb between."""
    metrics = chain.evaluated(f"{name}_masks")
    assert [node[0] for node in ancestors(chain.book, "evaluate", f"{name}_masks")] == [
        "prepare",
        "annotate",
        "import_weights",
        "train",
        "predict_masks",
        "evaluate",
    ]
    assert metrics["images"] == 2
    history = (chain.work / "histories" / f"{name}.csv").read_text()
    assert SINGLE_STAGE[name] in history.splitlines()[0].split(",")
