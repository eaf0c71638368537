"""What a book says of itself and of its table: the sections ``book`` and ``table``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from pipeline.book.entries import Entry, Name


def _plain_path(path: str) -> str:
    """A path that a shell takes as it stands: DVC writes it into the command lines of dvc.yaml, unquoted."""
    if re.fullmatch(r"[\w./][\w./-]*", path) is None:
        expected = "expected a path of letters, digits, '_', '.', '-' and '/' (a shell reads it)"
        raise PydanticCustomError("plain_path", expected)  # type: ignore[arg-type]
    return path


PlainPath = Annotated[str, AfterValidator(_plain_path)]
"""A path of a book's own place."""


class RecipeRow(Entry):
    """One recipe in the table of a paper: an evaluation for each column, and the published method beside it.

    A column that is not named is found through the graph from those that are (``pipeline.results.tables.recipes``).
    """

    label: str = ""
    """Name of the row; empty takes the entry's."""
    cam: Name | None = None
    """Evaluation of the exported CAMs."""
    refined: Name | None = None
    """Evaluation of the refined or propagated CAMs."""
    pseudo_masks: Name | None = None
    """Evaluation of the pseudo-masks."""
    val: Name | None = None
    """Evaluation of a prediction without CRF, at one scale or several."""
    val_crf: Name | None = None
    """Evaluation of a prediction with a dense CRF."""
    published: Name | None = None
    """The row of pipeline/book/published.yaml that stands beside it."""
    against: Name | None = None
    """Another row: the table shows their difference in mIoU and boundary F, in each column that both have, with a 95 %
    interval."""


class RepeatsRow(Entry):
    """Evaluations of one recipe under several seeds, shown as mean and spread."""

    label: str = ""
    """Name of the row; empty takes the entry's."""
    of: Annotated[list[Name], Field(min_length=1)]
    """Entries of ``evaluate``, one for each seed."""
    against: Name | None = None
    """Another row: the table shows their mean difference in mIoU and boundary F with a 95 % interval; seeds are paired
    in order."""


class BoxesRow(Entry):
    """Evaluations of boxes of one recipe under several seeds, shown as mean and spread."""

    label: str = ""
    """Name of the row; empty takes the entry's."""
    of: Annotated[list[Name], Field(min_length=1)]
    """Entries of ``evaluate_boxes``, one for each seed."""
    against: Name | None = None
    """Another row: the table shows their mean difference in Top-1 Loc, GT-known and MaxBoxAccV2 with a 95 % interval;
    seeds are paired in order."""


class TableSettings(Entry):
    """The results tables; ``bound`` names the evaluation that counts as full supervision.

    Without ``recipes`` there is a row for each segmenter, and for whatever else is evaluated.
    """

    title: str = ""
    """Above the tables."""
    bound: Name | None = None
    """The evaluation that counts as full supervision."""
    recipes: dict[Name, RecipeRow] = {}
    """Rows of the recipe table."""
    repeats: dict[Name, RepeatsRow] = {}
    """Rows of the table of seeds."""
    boxes: dict[Name, BoxesRow] = {}
    """Rows of the table of seeds of object localisation."""


class BookSettings(Entry):
    root: PlainPath
    """The project's root, seen from the book's folder."""
    path: PlainPath
    """The book's folder, seen from the project's root."""
    params: PlainPath
    """This file, seen from the project's root."""
    work: PlainPath
    """Folder for what the book makes, seen from the project's root."""
    targets: list[str] = []
    """What ``run`` and ``flow`` make when no stage is named; empty for all (which is what ``dvc repro`` makes)."""
    sources: dict[str, str] = {}
    """Project-relative path of an input that lies outside -> environment variable that may name it."""
