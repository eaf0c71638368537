"""Minutes of a person behind a number: from the stages it stands on and the tags of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.structures import Supervision
from pipeline.book.artifacts import artifact
from pipeline.book.params import load_book
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.results.tables.label_cost import label_cost
from pipeline.storage.header import Header
from pipeline.storage.stores import SupervisionStore
from tests.helpers.toy_results import toy_content, write_book

TAGS: dict[str, tuple[int, ...] | None] = {"a": (1,), "b": (1, 2), "c": ()}


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, classes: dict[str, Any], **annotate: Any) -> Any:
    """The cost of all entries ``annotate`` of a book whose data set has 4 classes and three images."""
    monkeypatch.chdir(folder)
    content = toy_content()
    content["annotate"] |= annotate
    book = write_book(folder, content)
    data = next(iter(book.prepare))
    entries = {id: CatalogueImage(id, f"{id}.png", (4, 4), of) for id, of in classes.items()}
    Catalogue(data, tuple("pqrs"), {"train": tuple(classes)}, entries).save(
        _made(artifact(book.book.work, "catalogues", data))
    )
    return label_cost(book, [("annotate", name) for name in annotate])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def entry(kind: str, **options: Any) -> dict[str, Any]:
    return {"data": "toy", "split": "train", "kind": kind, "options": options}


def test_tags_cost_a_second_for_each_class_of_each_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = made(tmp_path, monkeypatch, dict.fromkeys("abc"), tags=entry("tags"))
    assert cost == {"kinds": ["tags"], "images": 3, "minutes": pytest.approx(3 * 4 / 60)}


def test_tags_and_points_of_one_image_are_asked_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = made(tmp_path, monkeypatch, TAGS, tags=entry("tags"), points=entry("points"))
    assert cost == {"kinds": ["points", "tags"], "images": 3, "minutes": pytest.approx((3 * 3 + 3 * 2.4) / 60)}


def test_a_mixture_counts_by_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = made(tmp_path, monkeypatch, TAGS, some=entry("mixture", parts={"tags": 0.5, "points": 0.5}))
    assert cost["minutes"] == pytest.approx((0.5 * 3 * 4 + 0.5 * (3 * 3 + 3 * 2.4)) / 60)


def test_images_without_a_label_cost_no_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"points": entry("points", unannotated="left_out"), "tags": entry("tags")}
    assert made(tmp_path, monkeypatch, TAGS, **drawn) is None  # not imported yet: nobody knows of how many images
    folder = artifact("work/toy", "supervision", "points")
    digest = Catalogue.load(artifact("work/toy", "catalogues", "toy")).digest
    writer = SupervisionStore.create(folder, Header(("b",), ((4, 4),), tuple("pqrs"), digest))
    writer.write(0, [Supervision(np.array([1, 1, 0, 0], bool), np.full((4, 4), 254, np.uint8))])
    writer.finish()
    cost = label_cost(load_book(), [("annotate", "tags"), ("annotate", "points")])
    # a and c: a second for each of four classes; b: two of them are there, and get a point in place of the second
    assert cost == {"kinds": ["points", "tags"], "images": 3, "minutes": pytest.approx((2 * 4 + 2 + 2 * 2.4) / 60)}


def test_nothing_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(tmp_path, monkeypatch, dict.fromkeys("abc"), points=entry("points")) is None
