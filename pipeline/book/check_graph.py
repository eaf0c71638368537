"""What ``check`` finds wrong between the entries of a book: circles, unknown splits, labels that cannot teach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from models.errors import closest
from models.methods import METHODS
from pipeline.annotations import ANNOTATORS
from pipeline.book.entries import PrepareEntry
from pipeline.book.lineage import Node, entry_inputs
from pipeline.book.params import Book
from pipeline.book.signatures import constant_beside, options_model, trait
from pipeline.datasets import READERS


def circle_problems(book: Book) -> Iterator[str]:
    """Entries that need, in the end, what they make themselves."""
    needs = {node: list(entry_inputs(book, *node).values()) for node in book.entries()}
    while circle := _circle(needs):
        for verb, name in circle:
            yield f"{verb}.{name}: needs what it makes itself. Name another artefact, or rename this entry."
            needs[verb, name] = []


def _circle(needs: Mapping[Node, Sequence[Node]]) -> list[Node]:
    """The entries of one circle, in the book's order; none where there is no circle."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return [node for node in needs if node in error.args[1]]
    return []


def split_problems(book: Book) -> Iterator[str]:
    """Splits that a data set is known not to have: its options, or its reader, say so."""
    for verb in ("annotate", "import_annotations", "import_proposals", "predict_masks", "evaluate"):
        for name, entry in getattr(book, verb).items():
            known = _known_splits(book, entry.data)
            if known is not None and entry.split is not None and entry.split not in known:
                hint = closest(entry.split, known)
                yield f"{verb}.{name}.split: data '{entry.data}' has no split '{entry.split}'.{hint}"


def _known_splits(book: Book, data: str) -> list[str] | None:
    entry: PrepareEntry | None = book.prepare.get(data)
    if entry is None or entry.reader not in READERS:
        return None
    reader = READERS[entry.reader]
    if fixed := constant_beside(reader, "FIXED_SPLITS"):
        return list(fixed)
    field = options_model(reader).model_fields.get("splits")
    named = entry.options.get("splits", field.default if field else None)
    return list(named) if isinstance(named, dict | list | tuple) else None


def teaching_problems(book: Book) -> Iterator[str]:
    """Image tags label no pixel: a method that learns from pixels would learn nothing from them, at a loss of 0."""
    for name, entry in book.train.items():
        source = book.annotate.get(entry.supervision) or book.import_annotations.get(entry.supervision)
        if source is not None and source.kind == "tags" and trait(METHODS.get(entry.method), "learns_from_pixels"):
            yield (
                f"train.{name}.supervision: '{entry.supervision}' holds image tags, which label no pixel; "
                f"'{entry.method}' needs pseudo-masks, masks, boxes, points or scribbles."
            )


def label_problems(book: Book) -> Iterator[str]:
    """Labels must be there to be kept, and regions to be filled."""
    for verb in ("annotate", "import_annotations"):
        for name, entry in getattr(book, verb).items():
            if entry.fill_regions and entry.regions is None:
                yield f"{verb}.{name}.fill_regions: needs `regions:`, such as regions: {{method: rag, count: 48}}."
            elif entry.fill_regions and entry.kind == "tags":
                yield f"{verb}.{name}.fill_regions: image tags label no pixel whose region could take it."
    for name, export in book.export_cams.items():
        source = book.annotate.get(export.supervision) or book.import_annotations.get(export.supervision)
        if export.boxes and source is not None and not trait(ANNOTATORS.get(source.kind), "may_hold_boxes"):
            yield (
                f"export_cams.{name}.boxes: '{export.supervision}' holds {source.kind}, not boxes. "
                "Name a supervision of the kind 'boxes', or leave boxes out."
            )
        if export.keep_labels and source is not None and source.kind == "tags":
            yield (
                f"export_cams.{name}.keep_labels: '{export.supervision}' holds image tags, which label no pixel. "
                "Name points, scribbles or masks, or leave keep_labels out."
            )


def label_files(book: Book) -> Iterator[tuple[str, str]]:
    """(key, path) of each file of image labels that a data set's options name."""
    for name, entry in book.prepare.items():
        if isinstance(entry.options.get("labels"), str):
            yield f"prepare.{name}.options.labels", entry.options["labels"]


def region_folders(book: Book) -> Iterator[tuple[str, str]]:
    """(key, path) of each folder of region maps that an entry names."""
    for verb in ("annotate", "import_annotations", "make_pseudo_masks"):
        for name, entry in getattr(book, verb).items():
            folder = (entry.regions or {}).get("folder")
            if isinstance(folder, str) and folder:
                yield f"{verb}.{name}.regions.folder", folder


__all__ = ["circle_problems", "label_files", "label_problems", "region_folders", "split_problems", "teaching_problems"]
