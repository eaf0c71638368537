"""WeCLIP, WeCLIP+, ExCEL and its maps through the verbs of a book, on a CLIP that is small enough for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from models.backbones import BACKBONES
from pipeline.datasets.toy_animals import ANIMALS
from pipeline.storage.checkpoints import read_checkpoint
from pipeline.storage.stores import CamStore, MaskStore
from tests.helpers.chain import Chain, chain_in, root_content

METHODS: dict[str, dict[str, Any]] = {
    "excel": {"init": "maps", "model": {"affinity_start": 1.0, "surgery": 2}},
    "weclip": {"init": "clip", "model": {"affinity_start": 1.0}},
    "weclip_plus": {"init": "both", "model": {"second": "resnet18", "own_labels": 1.0, "threshold": 0.0}},
}


def content() -> dict[str, Any]:
    found = root_content()
    found["prepare"]["toy"]["options"] |= {"train": 4}
    toy = {"data": "toy"}
    prompts = {"words": {}, "background": ["ground", "sky", "wall"]}
    clip = {"official": "clip_es", "file": "params.yaml", "untrained": True, "prompts": prompts}
    clip["classes"] = [animal.name for animal in ANIMALS]
    second = {"architecture": "resnet18", "file": "resnet18.pth"}
    found["import_weights"] = {"clip": clip, "maps": clip | {"official": "excel"}, "both": clip | {"second": second}}
    learning = {"settings": {"steps": 4, "lr": 0.001, "optimizer": "adamw"}, "loader": {"crop": 48, "batch_size": 2}}
    found["train"] = {
        name: toy
        | {"supervision": "tags", "method": name, "init": one["init"], **learning}
        | {"model": {"backbone": "clip_vit_b16", "backgrounds": 3, "head_width": 16} | one["model"]}
        for name, one in METHODS.items()
    }
    maps = {"scales": [1.0], "flip": False, "grid": 16, "normalization": "mean", "alignment": "half_pixel"}
    found["export_cams"] = {
        name: toy | {"supervision": "tags", "checkpoint": name, "options": maps} for name in ("weclip", "excel", "maps")
    }
    found["propagate_cams"] = {"caa": toy | {"cams": "maps", "checkpoint": "maps", "options": {"preset": "excel"}}}
    found["refine_cams"] = found["make_pseudo_masks"] = {}
    found["predict_masks"] = {name: toy | {"split": "val", "checkpoint": name} for name in METHODS}
    found["evaluate"] = {name: toy | {"of": f"cams/{name}"} for name in ("weclip", "excel", "caa")}
    found["evaluate"] |= {f"{name}_masks": toy | {"of": f"masks/{name}"} for name in METHODS}
    return found


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "clip_vit_b16", "tests.helpers.tiny_clip:TinyClip")
        yield from chain_in(tmp_path_factory.mktemp("book"), "test_weclip_chain", content())


@pytest.mark.parametrize("name", METHODS)
def test_a_frozen_clip_and_its_texts_become_masks(chain: Chain, name: str) -> None:
    chain.run("evaluate", f"{name}_masks")
    assert (chain.work / "evaluations" / f"{name}_masks" / "metrics.json").is_file()
    masks = MaskStore.opened(chain.work / "masks" / name)
    assert {int(value) for id in masks.ids for value in np.unique(masks[id])} <= {*range(1 + len(ANIMALS))}
    (_, start), (card, state) = (
        read_checkpoint(chain.work / "checkpoints" / one) for one in (METHODS[name]["init"], name)
    )
    assert card.method == name
    for entry, value in start.items():
        assert torch.equal(state[entry], value), entry  # neither encoder learns, nor texts
    history = (chain.work / "histories" / f"{name}.csv").read_text()
    assert ("mutual" in history) == (name == "weclip_plus")


@pytest.mark.parametrize("name", ["weclip", "excel", "caa"])
def test_its_maps_are_cams(chain: Chain, name: str) -> None:
    chain.run("evaluate", name)
    store = CamStore.opened(chain.work / "cams" / name)
    assert len(store.ids) == 4
    for _, cam in store.items(store.ids):
        assert np.isfinite(cam.scores).all()
        assert not len(cam.classes) or cam.scores.any()
