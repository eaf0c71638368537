"""Corrected masks over pseudo-masks: a stage of a book that may lack the section."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from models.errors import ConfigurationError, DataError
from models.structures import UNLABELLED, Supervision
from pipeline.binders import overlay_labels
from pipeline.binders.common import header
from pipeline.book.artifacts import artifact
from pipeline.book.check import check
from pipeline.book.graph_file import PACKAGED
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.storage.stores import SupervisionStore
from pipeline.tracking.log import Log
from tests.helpers import made_book

ENTRY = {"data": "made", "supervision": "pseudo", "over": "hand"}


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    return made_book.make(book(), truth=False, stages=("supervision/pseudo",))


def book(**entry: Any) -> Book:
    clicks = {"data": "made", "split": "train", "kind": "points", "file": "clicks.csv"}
    return made_book.book(import_annotations={"hand": clicks}, overlay_labels={"mixed": {**ENTRY, **entry}})


def corrected(catalogue: Catalogue, split: str, ids: list[str]) -> SupervisionStore:
    """Labels by hand: of ``ids`` all is class 2, of the others nothing is said."""
    path = artifact(book().book.work, "supervision", "hand")
    writer = SupervisionStore.create(path, header(catalogue, catalogue.ids(split)))
    seeds = {id: np.full(made_book.SIZE, 2 if id in ids else UNLABELLED, np.uint8) for id in catalogue.ids(split)}
    writer.write(0, [Supervision(np.array([False, id in ids]), seeds[id]) for id in catalogue.ids(split)])
    writer.finish()
    return SupervisionStore(path)


def test_images_that_were_corrected_change_and_others_do_not(catalogue: Catalogue) -> None:
    corrected(catalogue, "train", ["t0", "t2"])
    overlay_labels.run(book(), "mixed", Log())
    before, after = (SupervisionStore(artifact("work/made", "supervision", name)) for name in ("pseudo", "mixed"))
    assert after.ids == before.ids
    for id, item in after:
        expected = np.full(made_book.SIZE, 2) if id in ("t0", "t2") else before[id].seeds
        np.testing.assert_array_equal(item.seeds, expected)


def test_drawn_images_without_labels_below_are_counted(catalogue: Catalogue) -> None:
    corrected(catalogue, "train", ["t0"])
    path = artifact(book().book.work, "supervision", "pseudo")
    few = dict(SupervisionStore(path).items(catalogue.ids("train")[:2]))
    shutil.rmtree(path)
    writer = SupervisionStore.create(path, header(catalogue, tuple(few)))
    writer.write(0, list(few.values()))
    writer.finish()
    with pytest.warns(UserWarning, match="2 of the 4 images of 'hand' have no labels in 'pseudo' and are left out: "):
        overlay_labels.run(book(), "mixed", Log())


def test_labels_of_other_images_are_refused(catalogue: Catalogue) -> None:
    corrected(catalogue, "val", ["v0"])
    with pytest.raises(DataError, match="none among the 4 of 'pseudo' and the 3 of 'hand'"):
        overlay_labels.run(book(), "mixed", Log())


def test_check_resolves_both_names() -> None:
    assert ("import_annotations", "hand") in ancestors(book(), "overlay_labels", "mixed")
    with pytest.raises(ConfigurationError, match=r"overlay_labels\.mixed\.over: nothing makes supervision 'hend'"):
        check(book(over="hend"))


@pytest.mark.parametrize("section", [{}, {"overlay_labels": {"mixed": ENTRY}}])
def test_dvc_reads_books_with_and_without_the_section(
    section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.parsing import DataResolver
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    plain = made_book.book().model_dump(mode="json")
    del plain["overlay_labels"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(plain | section))
    graph = yaml.safe_load(PACKAGED.read_text(encoding="utf-8"))
    stages = DataResolver(Repo.init(no_scm=True), str(tmp_path), graph).resolve()["stages"]
    made = [name for name in stages if name.startswith("overlay_labels")]
    assert made == [f"overlay_labels@{name}" for name in section.get("overlay_labels", {})]
    if made:
        assert "work/made/supervision/hand" in stages[made[0]]["deps"]
