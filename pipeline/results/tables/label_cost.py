"""What the labels behind a number would cost: minutes of a person, from published seconds a label."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from models.metrics.label_cost import TIMED, label_seconds, mixture_seconds
from pipeline.book.artifacts import artifact
from pipeline.book.lineage import Node
from pipeline.book.params import Book
from pipeline.datasets import catalogue as listing


def label_cost(book: Book, nodes: Sequence[Node]) -> dict[str, Any] | None:
    """Kinds, images and minutes of the labels among the stages that a number stands on.

    Labels of several stages on one split are of the same images, whose classes are asked once.

    Args:
        book: the recipe book, checked.
        nodes: the stages, as :func:`~pipeline.book.lineage.ancestors` has them.

    Returns:
        None where the number stands on no labels or on a kind of unknown cost, where its images are not listed here, or
        where more than tags was given and the data set publishes no tags, which say how many classes an image has.
    """
    given: dict[tuple[str, str], list[Any]] = {}
    for verb, name in nodes:
        if verb in ("annotate", "import_annotations"):
            entry = book.entry(verb, name)
            given.setdefault((entry.data, entry.split), []).append(entry)
    kinds: set[str] = set()
    images, seconds = 0, 0.0
    for (data, split), entries in given.items():
        folder = artifact(book.book.work, "catalogues", data)
        named = [each for entry in entries for each in _kinds(entry)]
        if not (folder / listing.FILE).is_file() or not set(named) <= set(TIMED):
            return None
        catalogue = listing.Catalogue.load(folder)
        ids = catalogue.ids(split)
        present = _present(catalogue, ids) if set(named) != {"tags"} else 0.0
        if present is None:
            return None
        one = _one(entries, named, catalogue.num_classes, present)
        kinds.update(named)
        images += len(ids)
        seconds += len(ids) * one
    return {"kinds": sorted(kinds), "images": images, "minutes": seconds / 60} if images else None


def _present(catalogue: listing.Catalogue, ids: Sequence[str]) -> float | None:
    """Mean number of classes of an image; None where none has published tags."""
    counts = [len(tags) for id in ids if (tags := catalogue.entry(id).tags) is not None]
    return fmean(counts) if counts else None


def _kinds(entry: Any) -> list[str]:
    """A mixture of what a folder has says nowhere what each image has: its kind, which has no published seconds."""
    return list(entry.options.get("parts") or ["mixture"]) if entry.kind == "mixture" else [entry.kind]


def _one(entries: list[Any], named: list[str], classes: int, present: float) -> float:
    mixtures = [entry.options["parts"] for entry in entries if entry.kind == "mixture"]
    if len(mixtures) == 1 and {entry.kind for entry in entries} <= {"mixture", "tags"}:
        return mixture_seconds(mixtures[0], classes, present)
    return label_seconds(named, classes, present)
