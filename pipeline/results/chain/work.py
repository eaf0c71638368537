"""How much a stage has to do, counted from its options and the data set: images, views, steps. Takes no second."""

from __future__ import annotations

from typing import Any

from pipeline.book.artifacts import artifact
from pipeline.book.lineage import Node, entry_inputs
from pipeline.book.options import effective_options
from pipeline.book.params import Book
from pipeline.datasets.catalogue import FILE, Catalogue
from pipeline.results.labelled import labelled_ids

FOLLOWED = ("supervision", "cams", "of")
"""Inputs that say which images an entry works on, where it names no split itself."""


class Counting:
    """Counts the work of the entries of a checked book; a data set is opened once."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._catalogues: dict[str, Catalogue | None] = {}

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
        """Images that an entry works on; None where its data set, or labels of a part of it, have not been made."""
        source = self._source(node)
        catalogue = None if source is None else self._catalogue(self._book.entry(*source).data)
        if source is None or catalogue is None:
            return None
        if source[0] in ("annotate", "import_annotations"):
            ids = labelled_ids(self._book, source, catalogue)
            return None if ids is None else len(ids)
        return len(catalogue.splits.get(self._book.entry(*source).split, ())) or None

    def _source(self, node: Node) -> Node | None:
        """The entry that says which images these are."""
        if getattr(self._book.entry(*node), "split", None) is not None:
            return node
        below = entry_inputs(self._book, *node)
        return next((self._source(below[key]) for key in FOLLOWED if key in below), None)

    def _catalogue(self, data: str) -> Catalogue | None:
        if data not in self._catalogues:
            folder = artifact(self._book.book.work, "catalogues", data)
            self._catalogues[data] = Catalogue.load(folder) if (folder / FILE).is_file() else None
        return self._catalogues[data]


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
