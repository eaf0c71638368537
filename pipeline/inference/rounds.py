"""A segmenter between two rounds of correcting: what it learned from, and what the next one will learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.errors import ConfigurationError, closest
from models.structures import UNLABELLED
from pipeline.book.artifacts import artifact
from pipeline.book.entries import OverlayLabelsEntry
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.storage.stores import SupervisionStore


@dataclass(frozen=True)
class Trained:
    """A segmenter of a book and the images that it learned from."""

    book: Book
    name: str

    @property
    def entry(self) -> Any:
        """Its training."""
        return self.book.entry("train", self.name)

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.load(artifact(self.book.book.work, "catalogues", self.entry.data))

    @cached_property
    def labels(self) -> SupervisionStore:
        """What it learned from."""
        return self._store(self.entry.supervision)

    @property
    def split(self) -> str:
        """The split that it learned from."""
        return next((split for split, ids in self.catalogue.splits.items() if ids == self.labels.ids), "train")

    def corrected(self) -> set[str]:
        """Images with labels of people's over those that were made: with a pixel, at least, of ``over:``."""
        stores = [self._store(overlay.over) for overlay in self.overlays]
        return {id for store in stores for id, item in store if (item.seeds != UNLABELLED).any()}

    @property
    def overlays(self) -> list[OverlayLabelsEntry]:
        """The entries that laid labels over those below, the last one first."""
        found, name = [], self.entry.supervision
        while name in self.book.overlay_labels:
            found.append(self.book.overlay_labels[name])
            name = found[-1].supervision
        return found

    def tags(self, ids: Iterable[str]) -> dict[str, list[bool]]:
        """The classes that may win in each image; images without published tags are left out."""
        tagged = [id for id in ids if self.catalogue.entry(id).tags is not None]
        return {id: self.labels.tags(id).tolist() for id in tagged}

    def _store(self, name: str) -> SupervisionStore:
        return SupervisionStore.opened(artifact(self.book.book.work, "supervision", name))


def segmenter_of(book: Book, named: str | None) -> str:
    """The training that was named, or that the book's first ``predict_masks`` entry uses.

    Raises:
        ConfigurationError: no such training, or none was named and the book predicts with none.
    """
    trained = [entry.checkpoint for entry in book.predict_masks.values() if entry.checkpoint in book.train]
    if named is None and not trained:
        raise ConfigurationError(
            f"{book.book.params}: expected a training that predict_masks uses, found none. Name one with --checkpoint."
        )
    name = named or trained[0]
    if name not in book.train:
        raise ConfigurationError(f"{book.book.params} trains no '{name}'.{closest(name, book.train)}")
    return name


def entries_to_add(segmenter: Trained, file: str) -> dict[str, Any]:
    """A block of a book.yaml with what it takes to learn from corrected masks too.

    Args:
        segmenter: that was asked; another one begins as it did, with the corrected masks over what it learned from.
        file: where the labelling tool's export will lie.
    """
    entry, rounds = segmenter.entry, len(segmenter.overlays) + 1
    ending = "_corrected" if rounds == 1 else f"_{rounds}"
    corrections = "corrected" if rounds == 1 else f"corrected_{rounds}"
    options = {"only": ["masks"], "unannotated": "unlabelled", "brush": "areas"}
    shapes = {"data": entry.data, "split": segmenter.split, "kind": "shapes", "file": file, "options": options}
    before = f"_{rounds - 1}" if rounds > 2 else ""  # what the round before added; a seed's number stays
    again = over_labels(segmenter, corrections, lambda name: name.removesuffix(before) + ending)
    return {corrections: {"import_annotations": {corrections: shapes}} | again}


def over_labels(segmenter: Trained, labels: str, renamed: Callable[[str], str]) -> dict[str, Any]:
    """Sections of a book that lay people's labels over what ``segmenter`` learned from, and teach another one.

    Args:
        segmenter: the other one begins as it did.
        labels: their entry of ``import_annotations``.
        renamed: from the name of a training or a prediction to that of the new one.
    """
    entry, mixed = segmenter.entry, f"with_{labels}"
    overlay = {"data": entry.data, "supervision": entry.supervision, "over": labels}
    return {"overlay_labels": {mixed: overlay}} | taught_by(segmenter, mixed, renamed)


def taught_by(segmenter: Trained, labels: str, renamed: Callable[[str], str]) -> dict[str, Any]:
    """Sections of a book that teach another segmenter with other labels, and predict as ``segmenter`` does."""
    trained = renamed(segmenter.name)
    predictions = {
        renamed(name): changed(prediction, checkpoint=trained)
        for name, prediction in segmenter.book.predict_masks.items()
        if prediction.checkpoint == segmenter.name
    }
    sections = {"train": {trained: changed(segmenter.entry, supervision=labels)}, "predict_masks": predictions}
    return {verb: entries for verb, entries in sections.items() if entries}


def changed(entry: Any, **changes: Any) -> dict[str, Any]:
    """An entry as the book has it, but for some keys."""
    return {**entry.model_dump(mode="json", exclude_unset=True), **changes}
