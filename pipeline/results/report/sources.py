"""What of a book is there to be looked at: data sets, the stores made of them, the evaluations that judge them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import TRUTH_FILE, GroundTruth
from pipeline.pictures.gallery import COLUMN_OF, STORES
from pipeline.results.tables.evaluations import read_evaluations

ORDER = (
    "export_cams", "merge_cams", "refine_cams", "propagate_cams", "align_cams", "make_pseudo_masks",
    "overlay_labels", "predict_masks", "classify_proposals",
)  # fmt: skip
"""Verbs that fill a column, in the order of the columns; full supervision is the ground truth again."""

TRUTH = "truth"
"""Key of the column of ground truth."""


@dataclass(frozen=True)
class Column:
    """A store that the gallery shows, over one split of one data set: ``key`` is ``cams/cam``, ``title`` "CAM"."""

    key: str
    title: str
    data: str
    split: str

    @property
    def name(self) -> str:
        """Of the recipe that made it."""
        return self.key.partition("/")[2]


@dataclass(frozen=True)
class Judge:
    """An evaluation that has been made, by which images are judged one by one.

    Attributes:
        name: of the evaluation.
        column: key of what it judges.
        threshold: background score at which a CAM becomes a mask, the best of the whole split; None for masks.
    """

    name: str
    column: str
    threshold: float | None


@dataclass(frozen=True)
class DataSet:
    """A prepared data set, read when it is asked for."""

    work: str
    name: str

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.load(artifact(self.work, "catalogues", self.name))

    @cached_property
    def truth(self) -> GroundTruth:
        return GroundTruth(self.catalogue, artifact(self.work, "ground_truth", self.name))

    def has_truth(self, id: str) -> bool:
        """Whether the image has a ground-truth mask."""
        return (self.truth.folder / TRUTH_FILE).is_file() and self.truth.has_mask(id)

    def store(self, key: str) -> Any:
        """The store of a column, opened once. Raises DataError where it is missing or damaged."""
        if key not in self._stores:
            kind, _, name = key.partition("/")
            self._stores[key] = STORES[kind](artifact(self.work, kind, name))
        return self._stores[key]

    @cached_property
    def _stores(self) -> dict[str, Any]:
        return {}


@contextmanager
def noting(problems: list[str]) -> Iterator[None]:
    """Note a DataError, to be named on the page, and go on without the piece."""
    try:
        yield
    except DataError as error:
        problems.append(str(error))


def prepared(book: Book) -> list[DataSet]:
    """The data sets of a book whose catalogue has been made."""
    names = [name for name in book.prepare if artifact(book.book.work, "catalogues", name).exists()]
    return [DataSet(book.book.work, name) for name in names]


def find_columns(book: Book, problems: list[str]) -> list[Column]:
    """Every store that can be shown; what is damaged or of another catalogue is noted in ``problems``."""
    columns = []
    data = {data_set.name: data_set for data_set in prepared(book)}
    for verb in ORDER:
        for name, entry in getattr(book, verb).items():
            key = f"{kind_of(verb)}/{name}"
            if entry.data in data and artifact(book.book.work, *key.split("/")).exists():
                with noting(problems):
                    columns.append(Column(key, COLUMN_OF[verb], entry.data, _split(data[entry.data], key)))
    return columns


def _split(data: DataSet, key: str) -> str:
    """The split that a store is of, or of a part of it; DataError where it comes from other images."""
    store, catalogue = data.store(key), data.catalogue
    store.require((), "the report", catalogue.digest)
    for split, ids in catalogue.splits.items():
        if ids == store.ids:
            return split
    held = set(store.ids)
    for split, ids in catalogue.splits.items():
        if held <= set(ids):  # labels that leave images out (``unannotated: left_out``), and what is made of them
            return split
    raise DataError(
        f"{store.path} holds {len(store)} images that are no split of '{data.name}' ({', '.join(catalogue.splits)})."
    )


def find_judges(book: Book, columns: list[Column]) -> list[Judge]:
    """The evaluations that have been made of the columns, in the order of the book."""
    made = {row.name: row.metrics for row in read_evaluations(book.book.work, list(book.evaluate))}
    keys = {column.key for column in columns}
    return [
        Judge(name, metrics["of"], metrics.get("best_threshold"))
        for name, metrics in made.items()
        if metrics["of"] in keys and metrics["of"] == book.evaluate[name].of
    ]


def root_of(book: Book) -> Path:
    """Where a book's report is written."""
    return Path("report") / book.name
