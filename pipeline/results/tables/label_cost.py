"""What the labels behind a number would cost: minutes of a person, from published seconds a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from models.metrics.label_cost import TIMED, label_seconds, mixture_seconds
from pipeline.book.artifacts import artifact
from pipeline.book.lineage import Node
from pipeline.book.params import Book
from pipeline.datasets import catalogue as listing
from pipeline.results.labelled import labelled_ids


def label_cost(book: Book, nodes: Sequence[Node]) -> dict[str, Any] | None:
    """Kinds, images and minutes of the labels among the stages that a number stands on.

    Where labels of several stages are of the same image, its classes are asked once.

    Args:
        book: the recipe book, checked.
        nodes: the stages, as :func:`~pipeline.book.lineage.ancestors` has them.

    Returns:
        None where the number stands on no labels or on a kind of unknown cost, where its images are not listed here,
        where it is not known which of them are labelled (``labelled_ids``), or where more than tags was given and the
        data set publishes no tags, which say how many classes an image has.
    """
    given: dict[str, list[Node]] = {}
    for verb, name in nodes:
        if verb in ("annotate", "import_annotations"):
            given.setdefault(book.entry(verb, name).data, []).append((verb, name))
    kinds: set[str] = set()
    images, seconds = 0, 0.0
    for data, labels in given.items():
        folder = artifact(book.book.work, "catalogues", data)
        named = [each for node in labels for each in _kinds(book.entry(*node))]
        if not (folder / listing.FILE).is_file() or not set(named) <= set(TIMED):
            return None
        catalogue = listing.Catalogue.load(folder)
        known = ((node, labelled_ids(book, node, catalogue)) for node in labels)
        labelled = {node: ids for node, ids in known if ids is not None}
        if len(labelled) < len(set(labels)):
            return None
        for together, images_of in _groups(labelled):
            entries = [book.entry(*node) for node in together]
            of_image = [each for entry in entries for each in _kinds(entry)]
            present = _present(catalogue, images_of) if set(of_image) != {"tags"} else 0.0
            if present is None:
                return None
            images += len(images_of)
            seconds += len(images_of) * _one(entries, of_image, catalogue.num_classes, present)
        kinds.update(named)
    return {"kinds": sorted(kinds), "images": images, "minutes": seconds / 60} if images else None


def _groups(labelled: Mapping[Node, tuple[str, ...]]) -> list[tuple[tuple[Node, ...], Sequence[str]]]:
    """Entries, and the images that have the labels of just these."""
    first = next(iter(labelled.values()))
    if all(ids == first for ids in labelled.values()):
        return [(tuple(labelled), first)]
    of_image: dict[str, list[Node]] = {}
    for node, ids in labelled.items():
        for id in ids:
            of_image.setdefault(id, []).append(node)
    groups: dict[tuple[Node, ...], list[str]] = {}
    for id, nodes in of_image.items():
        groups.setdefault(tuple(nodes), []).append(id)
    return list(groups.items())


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
