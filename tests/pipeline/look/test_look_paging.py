"""Pages of a data set of a hundred thousand images, none of which is listed in a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

import pytest

from models.errors import ConfigurationError
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.look import paging
from pipeline.look.images import ImageSet
from pipeline.look.paging import Query, page

MANY = 100_000


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Every thousandth image is tagged with class 2, the others with class 1."""
    ids = tuple(f"{number:06d}" for number in range(MANY))
    entries = {id: CatalogueImage(id, f"{id}.jpg", (4, 6), (2,) if int(id) % 1000 == 0 else (1,)) for id in ids}
    return ImageSet(Catalogue("many", ("cat", "dog"), {"train": ids}, entries), prepared=False)


def flat(pages: Iterable[list[str]]) -> list[str]:
    return list(chain.from_iterable(pages))


def all_pages(images: ImageSet, ask: Callable[[int], Query], at: int, key: str) -> list[list[str]]:
    pages = []
    following: int | None = at
    while following is not None:
        found = page(images, ask(following), set())
        pages.append([item["id"] for item in found["items"]])
        following = found[key]
    return pages


def test_pages_follow_each_other_without_a_gap(images: ImageSet) -> None:
    pages = all_pages(images, lambda at: Query("train", at=at, count=100), MANY - 250, "next")
    assert [len(ids) for ids in pages] == [100, 100, 50]
    assert flat(pages) == list(images.ids("train")[-250:])
    back = all_pages(images, lambda at: Query("train", at=at, count=100, back=True), 249, "previous")
    assert flat(reversed(back)) == list(images.ids("train")[:250])


def test_a_filter_looks_at_a_bounded_number_of_images(images: ImageSet) -> None:
    first = page(images, Query("train", at=1, tag=2), set())
    assert [item["at"] for item in first["items"]] == list(range(1000, 20_001, 1000))
    assert (first["next"], first["total"]) == (20_001, MANY)
    pages = all_pages(images, lambda at: Query("train", at=at, tag=2), 0, "next")
    assert flat(pages) == [f"{number:06d}" for number in range(0, MANY, 1000)]
    back = all_pages(images, lambda at: Query("train", at=at, tag=2, back=True), MANY - 1, "previous")
    assert sorted(flat(back)) == flat(pages)


def test_filters_by_name_and_by_what_is_drawn(images: ImageSet) -> None:
    assert [item["id"] for item in page(images, Query("train", find="00012"), set())["items"]][:2] == [
        "000012",
        "000120",
    ]
    drawn = {"000007", "000009"}
    assert {item["id"] for item in page(images, Query("train", drawn=True), drawn)["items"]} == drawn
    rest = page(images, Query("train", drawn=False, count=9), drawn)["items"]
    assert [item["at"] for item in rest] == [0, 1, 2, 3, 4, 5, 6, 8, 10]


def test_a_position_behind_the_end_is_the_last_image(images: ImageSet) -> None:
    assert [item["at"] for item in page(images, Query("train", at=MANY + 5), set())["items"]] == [MANY - 1]
    with pytest.raises(ConfigurationError, match="Did you mean 'train'"):
        page(images, Query("trian"), set())
    with pytest.raises(ConfigurationError):
        Query("train", count=paging.MOST + 1)
