"""What version 0.1 wrote is read: artefacts of every kind, checkpoints, books (tests/golden/make_version_0_1.py)."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.errors import DataError
from pipeline.book.check import check
from pipeline.book.params import load_book
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.results.tables.evaluations import read_metrics
from pipeline.storage.checkpoints import CARD, load_method, read_checkpoint
from pipeline.storage.shards import METADATA
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore
from pipeline.storage.sums import FILE as SUMS
from tests.helpers import made_book

GOLDEN = Path(__file__).parents[1] / "golden" / "version_0_1.tar.gz"
WORK = Path("work/made")
STORES: dict[str, Any] = {"cams/cam": CamStore, "masks/net": MaskStore, "supervision/pseudo": SupervisionStore}


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The folder of version 0.1 as the working folder, and sums of what its readers gave."""
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    assert not list(tmp_path.rglob(SUMS)), "that version wrote no checksums"
    values: dict[str, Any] = json.loads((tmp_path / "values.json").read_text())
    return values


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_read(old: dict[str, Any], name: str) -> None:
    store = STORES[name](WORK / name)
    sums = {id: float(getattr(item, "scores", getattr(item, "seeds", item)).sum()) for id, item in store}
    assert sums == pytest.approx(old[name])
    store.require((), "the test", Catalogue.load(WORK / "catalogues/made").digest)


def test_catalogue_and_ground_truth_are_read(old: dict[str, Any]) -> None:
    catalogue = Catalogue.load(WORK / "catalogues/made")
    truth = GroundTruth(catalogue, WORK / "ground_truth/made")
    ids = [id for split in ("train", "val") for id in catalogue.splits[split]]
    catalogue = replace(catalogue, entries={id: catalogue.entries[id] for id in ids})  # in the order of the helper
    for id in ids:
        assert catalogue.image(id).shape == (*made_book.SIZE, 3)
        assert (truth.mask(id) == made_book.mask_of(catalogue, id)).all()


def test_a_checkpoint_is_read(old: dict[str, Any]) -> None:
    method = load_method(WORK / "checkpoints/net", made_book.CLASSES)
    assert {key: float(value.double().sum()) for key, value in method.state_dict().items()} == old["checkpoint"]


def test_an_evaluation_is_read(old: dict[str, Any]) -> None:
    metrics = read_metrics(WORK / "evaluations/net/metrics.json")
    assert metrics is not None
    assert metrics["of"] == "masks/net"


@pytest.mark.parametrize("name", ["params.yaml", "voc_mini.yaml"])
def test_a_book_is_valid(old: dict[str, Any], name: str) -> None:
    text = Path(name).read_text()
    place = Path("recipes/voc_mini") if name != "params.yaml" else Path(".")
    place.mkdir(parents=True, exist_ok=True)
    (place / "params.yaml").write_text(text)
    book = load_book(str(place))
    check(book)
    assert book.entries()


def test_a_later_version_is_refused_with_the_way_forward(old: dict[str, Any]) -> None:
    for path, before, after, read in (
        (WORK / "masks/net" / METADATA, '"version": 1', '"version": 2', lambda: MaskStore(WORK / "masks/net")),
        (WORK / "checkpoints/net" / CARD, "version 1", "version 2", lambda: read_checkpoint(WORK / "checkpoints/net")),
        (
            WORK / "catalogues/made/catalogue.json", '"version": 1', '"version": 2',
            lambda: Catalogue.load(WORK / "catalogues/made"),
        ),
    ):  # fmt: skip
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        with pytest.raises(DataError, match=r"expected .*version 1.*found .*2"):
            read()
