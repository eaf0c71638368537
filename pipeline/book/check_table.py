"""What ``check`` finds wrong in ``table:``: names of no evaluation, evaluations in the wrong column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from models.errors import closest
from pipeline.book.head import RecipeRow
from pipeline.book.params import Book
from pipeline.book.published import COLUMNS, Column, published

WANTED: dict[Column, tuple[str, ...]] = {
    "cam": ("export_cams",),
    "refined": ("refine_cams", "propagate_cams", "align_cams", "merge_cams", "make_pseudo_masks"),
    "pseudo_masks": ("annotate", "import_annotations", "make_pseudo_masks", "overlay_labels"),
    "val": ("predict_masks", "classify_proposals"),
    "val_crf": ("predict_masks",),
}
"""The verbs that make what an evaluation in a column may judge."""


def table_problems(book: Book) -> Iterator[str]:
    """Problems of the bound, of each recipe and of each row of repeats, with the closest valid name."""
    bound = book.table.bound
    if bound is not None and bound not in book.evaluate:
        yield f"table.bound: no evaluation '{bound}'.{closest(bound, book.evaluate)}"
    for key, recipe in book.table.recipes.items():
        where = f"table.recipes.{key}"
        if not any(getattr(recipe, column) for column in COLUMNS):
            yield f"{where}: names no evaluation. Give at least one of: {', '.join(COLUMNS)}."
        for column in COLUMNS:
            yield from _column_problems(book, where, column, recipe)
        if recipe.published is not None and recipe.published not in published().methods:
            hint = closest(recipe.published, published().methods)
            yield f"{where}.published: no published numbers called '{recipe.published}'.{hint}"
        yield from _against_problems(where, key, recipe.against, book.table.recipes)
    for key, row in book.table.repeats.items():
        for name in row.of:
            if name not in book.evaluate:
                yield f"table.repeats.{key}.of: no evaluation '{name}'.{closest(name, book.evaluate)}"
        if len(set(row.of)) < len(row.of):
            yield f"table.repeats.{key}.of: an evaluation stands twice: {', '.join(row.of)}. Name each seed's once."
        judged = {_judged(book, name) for name in row.of if name in book.evaluate}
        if len(judged) > 1:
            kinds = ", ".join(sorted(" ".join(each) for each in judged))
            yield f"table.repeats.{key}.of: expected evaluations of one kind on the same images, found {kinds}."
        yield from _against_problems(f"table.repeats.{key}", key, row.against, book.table.repeats)
        other = book.table.repeats.get(row.against or "")
        images = {_judged(book, name) for name in other.of if name in book.evaluate} if other else set()
        if len(judged) == len(images) == 1 and judged != images:
            found = " and ".join(" ".join(each) for each in (*judged, *images))
            yield f"table.repeats.{key}.against: expected a row of one kind on the same images, found {found}."
    yield from _box_problems(book)


def _box_problems(book: Book) -> Iterator[str]:
    """Of the rows over seeds of evaluations of boxes."""
    for key, row in book.table.boxes.items():
        where = f"table.boxes.{key}"
        for name in row.of:
            if name not in book.evaluate_boxes:
                yield f"{where}.of: no evaluation of boxes '{name}'.{closest(name, book.evaluate_boxes)}"
        if len(set(row.of)) < len(row.of):
            yield f"{where}.of: an evaluation stands twice: {', '.join(row.of)}. Name each seed's once."
        other = book.table.boxes.get(row.against or "")
        named = [name for name in (*row.of, *(other.of if other else ())) if name in book.evaluate_boxes]
        if len(data := {book.evaluate_boxes[name].data for name in named}) > 1:
            yield f"{where}: expected evaluations of one data set, found {', '.join(sorted(data))}."
        yield from _against_problems(where, key, row.against, book.table.boxes)


def _against_problems(where: str, key: str, against: str | None, rows: Mapping[str, object]) -> Iterator[str]:
    if against is not None and against not in rows:
        yield f"{where}.against: no row '{against}' there.{closest(against, rows)}"
    elif against == key:
        yield f"{where}.against: expected another row, found the row itself."


def _column_problems(book: Book, where: str, column: Column, recipe: RecipeRow) -> Iterator[str]:
    name: str | None = getattr(recipe, column)
    if name is None:
        return
    if name not in book.evaluate:
        yield f"{where}.{column}: no evaluation '{name}'.{closest(name, book.evaluate)}"
        return
    of = book.evaluate[name].of
    kind, _, value = of.partition("/")
    made = book.producer(kind, value)
    if made is None:
        return  # reported where the evaluation is
    if made[0] not in WANTED[column]:
        fit = [other for other in book.evaluate if _verb(book, other) in WANTED[column]]
        yield (
            f"{where}.{column}: '{name}' judges {of}, which {made[0]} makes; expected an evaluation of what "
            f"{' or '.join(WANTED[column])} makes: {', '.join(fit) or 'this book has none'}."
        )
    elif column == "val" and getattr(made[1], "crf", None) is not None:
        yield f"{where}.val: '{name}' judges {of}, predicted with a CRF. Name it under val_crf."


def _judged(book: Book, evaluation: str) -> tuple[str, str, str]:
    """Kind, data set and split of what an evaluation judges."""
    entry = book.evaluate[evaluation]
    kind, _, name = entry.of.partition("/")
    made = book.producer(kind, name)
    return kind, entry.data, entry.split or (str(getattr(made[1], "split", "")) if made else "")


def _verb(book: Book, evaluation: str) -> str | None:
    kind, _, value = book.evaluate[evaluation].of.partition("/")
    made = book.producer(kind, value)
    return made[0] if made else None
