"""The rows of the recipe table: which evaluation fills which column, told by the book or found through its graph."""

from __future__ import annotations

from typing import Any

from pipeline.book.entries import ClassifyProposalsEntry, PredictMasksEntry
from pipeline.book.head import RecipeRow
from pipeline.book.lineage import entry_inputs
from pipeline.book.options import effective_options
from pipeline.book.params import Book
from pipeline.book.published import COLUMNS, Column


def recipes(book: Book) -> dict[str, RecipeRow]:
    """The rows of the book's table, each column that the graph can fill filled.

    Without ``table.recipes``: a row for each segmenter that is evaluated, then one for each evaluation that is in no
    row yet, from the end of the chain to its start.
    """
    if book.table.recipes:
        return {key: completed(book, recipe) for key, recipe in book.table.recipes.items()}
    rows: dict[str, RecipeRow] = {}
    for kind in ("masks", "supervision", "cams"):
        for name, entry in book.evaluate.items():
            if entry.of.startswith(f"{kind}/") and name not in _shown(rows):
                key = network_of(book, name) if kind == "masks" else name
                rows.setdefault(key, completed(book, RecipeRow(**{column_of(book, name): name})))
    return rows


def completed(book: Book, recipe: RecipeRow) -> RecipeRow:
    """The recipe with what its named evaluations stand on filled in where an evaluation of it is in the book."""
    columns: dict[str, str] = {column: name for column in COLUMNS if (name := getattr(recipe, column))}
    if last := columns.get("val_crf") or columns.get("val"):
        for name, entry in book.evaluate.items():
            if entry.of.startswith("masks/") and _same_test_images(book, name, last):
                columns.setdefault(column_of(book, name), name)
        made = maker(book, last)
        taught = made if isinstance(made, ClassifyProposalsEntry) else book.train.get(made.checkpoint)
        if taught is not None:
            _set(columns, "pseudo_masks", _evaluation_of(book, f"supervision/{taught.supervision}"))
    for column in ("pseudo_masks", "refined"):
        if column in columns:
            _fill_cams(book, columns, book.evaluate[columns[column]].of)
    return recipe.model_copy(update=columns)


def column_of(book: Book, name: str) -> Column:
    """The column that an evaluation belongs to."""
    kind = book.evaluate[name].of.partition("/")[0]
    if kind == "supervision":
        return "pseudo_masks"
    if kind == "cams":
        return "cam" if book.evaluate[name].of.partition("/")[2] in book.export_cams else "refined"
    options = test_settings(book, name)
    raw = options["crf"] is None and list(options["scales"]) == [1.0] and not options["flip"]
    return "val" if raw else "val_crf"


def test_settings(book: Book, name: str) -> dict[str, Any]:
    """How the predictions that ``name`` judges were made: scales, flip, crf, ..., defaults included."""
    made = maker(book, name)
    if isinstance(made, ClassifyProposalsEntry):  # one view, no CRF
        made = PredictMasksEntry(data=made.data, split="", checkpoint=made.checkpoint)
    options = effective_options("predict_masks", made)
    crf = None if made.crf is None else effective_options("predict_masks", made, "crf")
    return {**options, "crf": crf}


def _fill_cams(book: Book, columns: dict[str, str], of: str) -> None:
    """Walk from pseudo-masks or refined CAMs down to the exported ones; those below a mean are no row's alone."""
    kind, _, name = of.partition("/")
    while (made := book.producer(kind, name)) and "cams" in (below := entry_inputs(book, made[0], name)):
        if "other" in below:
            return
        name, kind = made[1].cams, "cams"
        _set(columns, "cam" if name in book.export_cams else "refined", _evaluation_of(book, f"cams/{name}"))


def _set(columns: dict[str, str], column: str, name: str | None) -> None:
    if name is not None:
        columns.setdefault(column, name)


def _evaluation_of(book: Book, of: str) -> str | None:
    return next((name for name, entry in book.evaluate.items() if entry.of == of), None)


def maker(book: Book, name: str) -> Any:
    """The entry that makes what the evaluation ``name`` judges."""
    kind, _, of = book.evaluate[name].of.partition("/")
    made = book.producer(kind, of)
    assert made is not None, "check() resolves every name"
    return made[1]


def _same_test_images(book: Book, one: str, other: str) -> bool:
    a, b = (maker(book, name) for name in (one, other))
    images = [(made.data, getattr(made, "split", None) or made.proposals) for made in (a, b)]
    return network_of(book, one) == network_of(book, other) and images[0] == images[1]


def network_of(book: Book, name: str) -> str:
    """The segmenter whose masks ``name`` judges: a checkpoint, or one together with a bank of regions."""
    made = maker(book, name)
    banked = isinstance(made, ClassifyProposalsEntry)
    return f"{made.checkpoint}_{made.supervision}_{made.proposals}" if banked else str(made.checkpoint)


def _shown(rows: dict[str, RecipeRow]) -> set[str]:
    return {name for row in rows.values() for column in COLUMNS if (name := getattr(row, column))}


__all__ = ["column_of", "completed", "maker", "network_of", "recipes", "test_settings"]
