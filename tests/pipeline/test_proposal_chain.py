"""Proposals through the verbs: from regions to aligned CAMs, and to masks without a segmenter."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import ConfigurationError, DataError
from pipeline.book.check import check
from pipeline.book.params import Book
from pipeline.results.tables.paper import paper_table
from pipeline.storage.checkpoints import build_method, save_checkpoint
from pipeline.storage.proposals import ProposalStore
from pipeline.storage.stores import CamStore, MaskStore
from pipeline.tracking.log import Log
from tests.helpers.made_book import CLASSES, IDS, SIZE, book, make

pytestmark = pytest.mark.slow

MADE = {"data": "made"}
EPOCH = {"settings": {"epochs": 1}}
REGIONS = MADE | {"proposer": "regions", "file": "params.yaml", "options": {"count": 12}}
SECTIONS: dict[str, Any] = {
    "annotate": {"tags": MADE | {"split": "train", "kind": "tags"}},
    "import_weights": {"random": {"architecture": "random", "file": "params.yaml"}},
    "train": {"net": MADE | {"supervision": "tags", "method": "classifier", "init": "random"} | EPOCH},
    "predict_masks": {},
    "import_proposals": {"regions": REGIONS | {"split": "train"}, "regions_val": REGIONS | {"split": "val"}},
    "align_cams": {
        "vote": MADE | {"cams": "cam", "proposals": "regions", "aligner": "region_vote"},
        "sepl": MADE | {"cams": "cam", "proposals": "regions", "aligner": "sepl", "options": {"threshold": 0.3}},
    },
    "propagate_cams": {"ot": MADE | {"cams": "cam", "checkpoint": "net", "spread": "transport"}},
    "classify_proposals": {
        "bank": MADE
        | {"proposals": "regions_val", "supervision": "pseudo", "checkpoint": "net"}
        | {"options": {"erosion": 1, "least_area": 9, "neighbours": 3}}
    },
    "evaluate": {
        "vote": MADE | {"of": "cams/vote"},
        "bank": MADE | {"of": "masks/bank"},
        "pseudo": MADE | {"of": "supervision/pseudo"},
    },
    "table": {"recipes": {"row": {"val": "bank"}, "vote": {"refined": "vote"}}},
}
PAGE = {"backbone": "resnet18", "width": 0.25}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("")
    made = book(**SECTIONS)
    make(made, stages=("cams/cam", "supervision/pseudo"))
    method = build_method("classifier", len(CLASSES), PAGE)
    recipe = {"method": "classifier", "options": PAGE}
    save_checkpoint(Path("work/made/checkpoints/net"), method, recipe=recipe, class_names=CLASSES)
    return made


def run(made: Book, *stages: str) -> None:
    for stage in stages:
        verb, name = stage.split("@")
        import_module(f"pipeline.binders.{verb}").run(made, name, Log())


def digest(folder: str) -> str:
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_from_regions_to_aligned_cams(made: Book) -> None:
    check(made)
    run(made, "import_proposals@regions", "align_cams@vote", "align_cams@sepl", "propagate_cams@ot", "evaluate@vote")
    proposals = ProposalStore(Path("work/made/proposals/regions"))
    assert proposals.ids == IDS["train"]
    assert all(1 < count <= 12 for count in proposals.counts)
    for id, cam in CamStore(Path("work/made/cams/vote")):
        for mask in proposals[id].masks:
            assert (np.ptp(cam.scores[:, mask], axis=1) == 0).all(), "one score in a region"
    for _, cam in CamStore(Path("work/made/cams/sepl")):
        assert set(np.unique(cam.scores)) <= {0, 1}
    for _, cam in CamStore(Path("work/made/cams/ot")):
        assert cam.scores.any()
        assert cam.scores.sum(0).max() <= 1 + 1e-3
    before = digest("work/made/proposals/regions")
    run(made, "import_proposals@regions")
    assert digest("work/made/proposals/regions") == before


def test_masks_without_a_segmenter_and_what_they_have_seen(made: Book) -> None:
    run(made, "import_proposals@regions_val", "classify_proposals@bank", "evaluate@bank")
    masks = MaskStore(Path("work/made/masks/bank"))
    assert masks.ids == IDS["val"]
    assert all(mask.shape == SIZE and mask.max() <= len(CLASSES) for _, mask in masks)
    table = paper_table(made, runs={})
    source = table.numbers["bank"].provenance
    assert source["proposals"] == [{"name": "regions_val", "proposer": "regions", "seen": "nothing"}]
    assert source["crf"] is None
    assert [row.names for row in table.rows] == [{"val": "bank", "pseudo_masks": "pseudo"}, {"refined": "vote"}]


def test_an_empty_bank_is_refused(made: Book) -> None:
    options = {"options": {"erosion": 30, "least_area": 2000}}
    bank = made.classify_proposals["bank"].model_copy(update=options)
    run(made, "import_proposals@regions_val")
    with pytest.raises(DataError, match="no labelled region has 2000 pixels after 30 erosions"):
        run(made.changed({"classify_proposals": {"bank": bank}}), "classify_proposals@bank")


@pytest.mark.parametrize(
    ("verb", "name", "change", "message"),
    [
        ("align_cams", "vote", {"proposals": "region"}, "nothing makes proposals 'region'. Did you mean 'regions'"),
        ("align_cams", "vote", {"aligner": "sep"}, "unknown aligner 'sep'. Did you mean 'sepl'"),
        ("align_cams", "sepl", {"options": {"inside": 2}}, "options.inside: expected a share"),
        ("import_proposals", "regions", {"proposer": "sam2"}, "unknown proposer 'sam2'. Did you mean 'sam'"),
        ("import_proposals", "regions", {"split": "trian"}, "has no split 'trian'"),
        ("import_proposals", "regions", {"options": {"count": 0}}, "options.count: expected a whole number above 0"),
        ("propagate_cams", "ot", {"spread": "walk"}, "unknown spread 'walk'. Did you mean 'random_walk'"),
        ("propagate_cams", "ot", {"options": {"preset": "irn"}}, "unknown key 'preset'"),
        ("propagate_cams", "ot", {"instances": True}, "instances: needs `spread: random_walk`, found 'transport'"),
        ("classify_proposals", "bank", {"checkpoint": "random"}, "'random' is imported weights, not a trained method"),
        ("classify_proposals", "bank", {"options": {"neighbours": 0}}, "expected a whole number above 0"),
    ],
)
def test_what_a_book_cannot_ask(verb: str, name: str, change: dict[str, Any], message: str) -> None:
    sections = SECTIONS[verb] | {name: SECTIONS[verb][name] | change}
    splits = {"made": {"reader": "voc", "root": ".", "options": {"splits": {"train": "train", "val": "val"}}}}
    with pytest.raises(ConfigurationError) as raised:
        check(book(**SECTIONS | {"prepare": splits, verb: sections}))
    assert message in str(raised.value)
