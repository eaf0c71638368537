"""The mean of two CAMs as a stage of a book that may lack the section."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import ConfigurationError, DataError
from models.structures import Cam
from pipeline.binders import merge_cams
from pipeline.binders.common import header
from pipeline.book.artifacts import artifact
from pipeline.book.check import check
from pipeline.book.entries import EvaluateEntry
from pipeline.book.head import RecipeRow
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.results.tables.provenance import _cam_chain
from pipeline.results.tables.recipes import completed
from pipeline.storage.stores import CamStore
from pipeline.tracking.log import Log
from tests.helpers import made_book

ENTRY = {"data": "made", "cams": "cam", "other": "more"}


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(tmp_path)
    return made_book.make(book(), truth=False, stages=("cams/cam",))


def book(**entry: Any) -> Book:
    refined = {"data": "made", "cams": "cam", "refiner": "dense_crf"}
    return made_book.book(refine_cams={"more": refined}, merge_cams={"both": {**ENTRY, **entry}})


def brighter(catalogue: Catalogue, ids: tuple[str, ...]) -> None:
    """CAMs that are 1 everywhere, of ``ids`` alone, which are the first."""
    work = book().book.work
    cams = CamStore(artifact(work, "cams", "cam"))
    writer = CamStore.create(artifact(work, "cams", "more"), header(catalogue, ids), cams.keys[: len(ids)])
    writer.write(0, [replace(cam, scores=np.ones_like(cam.scores)) for _, cam in cams.items(ids)])
    writer.finish()


@pytest.mark.parametrize(
    ("weight", "dtype", "step"), [(0.5, "float16", 1e-3), (0.25, "float16", 1e-3), (0.25, "uint8", 1 / 510)]
)
def test_every_image_gets_the_mean(catalogue: Catalogue, weight: float, dtype: str, step: float) -> None:
    brighter(catalogue, catalogue.ids("train"))
    merge_cams.run(book(options={"weight": weight}, dtype=dtype), "both", Log())
    before, after = (CamStore(artifact("work/made", "cams", name)) for name in ("cam", "both"))
    assert after.ids == before.ids
    for id, cam in after:
        np.testing.assert_allclose(cam.scores, (1 - weight) * before[id].scores + weight, atol=step + 1e-6)


def test_an_image_that_the_second_lacks_is_named(catalogue: Catalogue) -> None:
    brighter(catalogue, catalogue.ids("train")[:2])
    with pytest.raises(DataError, match="t2"):
        merge_cams.run(book(), "both", Log())


def test_maps_of_other_classes_are_counted_before_the_first_is_made(catalogue: Catalogue) -> None:
    work, ids = book().book.work, catalogue.ids("train")
    cams = CamStore(artifact(work, "cams", "cam"))
    other = [(1,) if len(keys) == 2 else keys for keys in cams.keys]
    writer = CamStore.create(artifact(work, "cams", "more"), header(catalogue, ids), other)
    made = [
        Cam(np.array(keys), np.zeros((len(keys), 2, 2), np.float32), cam.size)
        for keys, (_, cam) in zip(other, cams, strict=True)
    ]
    writer.write(0, made)
    writer.finish()
    several = sum(len(keys) == 2 for keys in cams.keys)
    assert several
    with pytest.raises(DataError, match=rf"merge_cams\.both: .* found {several} of 4 images .* 'cam' and 'more'"):
        merge_cams.run(book(), "both", Log())


def test_provenance_has_both_branches() -> None:
    given = book()
    evaluated = given.changed({"evaluate": {"both": EvaluateEntry(data="made", of="cams/both")}})
    assert _cam_chain(evaluated, ("merge_cams", "both")) == [
        ("merge_cams", "both"), ("export_cams", "cam"), ("refine_cams", "more")
    ]  # fmt: skip
    row = completed(evaluated, RecipeRow(refined="both"))
    assert (row.refined, row.cam) == ("both", None)


def test_cams_of_another_data_set_are_refused() -> None:
    toy = {"reader": "toy", "root": "."}
    elsewhere = {"data": "elsewhere", "cams": "cam", "refiner": "dense_crf"}
    sections = {"prepare": {"made": toy, "elsewhere": toy}, "refine_cams": {"more": elsewhere}}
    with pytest.raises(ConfigurationError, match=r"both\.other: 'more' belongs to data 'elsewhere', not to 'made'"):
        check(made_book.book(**sections, merge_cams={"both": ENTRY}))


def test_check_resolves_both_names_and_the_weight() -> None:
    assert ("refine_cams", "more") in ancestors(book(), "merge_cams", "both")
    for entry, problem in (
        ({"other": "cam"}, r"merge_cams\.both\.other: expected CAMs beside 'cam', found the same"),
        ({"other": "moore"}, r"merge_cams\.both\.other: nothing makes cams 'moore'"),
        ({"options": {"weight": 1.5}}, r"merge_cams\.both\.options.*weight"),
        ({"options": {"wait": 0.5}}, r"merge_cams\.both\.options.*weight"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            check(book(**entry))
