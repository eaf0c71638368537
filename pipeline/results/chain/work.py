"""How much a stage has to do, counted from its options and the data set: images, views, steps. Takes no second."""

from __future__ import annotations

from typing import Any

from pipeline.book.artifacts import artifact
from pipeline.book.lineage import Node, entry_inputs
from pipeline.book.options import effective_options
from pipeline.book.params import Book
from pipeline.datasets.catalogue import FILE, Catalogue

FOLLOWED = ("supervision", "cams", "of")
"""Inputs that say which images an entry works on, where it names no split itself."""


class Counting:
    """Counts the work of the entries of a checked book; a data set is opened once."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._counts: dict[str, dict[str, int]] = {}

    def work(self, node: Node) -> str:
        """In words, such as ``30 epochs of 240 images: 450 steps of 16``; "" where nothing can be counted."""
        verb, name = node
        if verb in ("prepare", "import_weights"):
            return ""
        entry = self._book.entry(verb, name)
        images = self._images(node)
        if verb == "train":
            batch = effective_options(verb, entry, "loader")["batch_size"]
            return _training(effective_options(verb, entry, "settings"), batch, images)
        views = _views(effective_options(verb, entry)) if verb in ("export_cams", "predict_masks") else 1
        if images is None:
            return f"{views} views of each image" if views > 1 else ""
        return f"{images:,} images" + (f", {views} views of each" if views > 1 else "")

    def _images(self, node: Node) -> int | None:
        """Images that an entry works on; None where its data set has not been prepared."""
        split = self._split(node)
        return None if split is None else self._of_splits(self._book.entry(*node).data).get(split)

    def _split(self, node: Node) -> str | None:
        split: str | None = getattr(self._book.entry(*node), "split", None)
        if split is not None:
            return split
        below = entry_inputs(self._book, *node)
        return next((self._split(below[key]) for key in FOLLOWED if key in below), None)

    def _of_splits(self, data: str) -> dict[str, int]:
        if data not in self._counts:
            folder = artifact(self._book.book.work, "catalogues", data)
            splits = Catalogue.load(folder).splits if (folder / FILE).is_file() else {}
            self._counts[data] = {name: len(ids) for name, ids in splits.items()}
        return self._counts[data]


def _training(settings: dict[str, Any], batch: int, images: int | None) -> str:
    """Batches that are not full are left out, as the loader does."""
    if settings["steps"]:
        return f"{settings['steps']:,} steps of {batch} images"
    if images is None:
        return f"{settings['epochs']} epochs, {batch} images a step"
    steps = settings["epochs"] * (images // batch)
    return f"{settings['epochs']} epochs of {images:,} images: {steps:,} steps of {batch}"


def _views(options: dict[str, Any]) -> int:
    return len(options["scales"]) * (2 if options["flip"] else 1)
