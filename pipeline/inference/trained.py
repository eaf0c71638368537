"""The trained network that a user names: an entry of a book, or a folder that came from another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ConfigurationError, DataError, closest
from models.methods import METHODS
from pipeline.book.artifacts import artifact
from pipeline.book.entries import PredictMasksEntry
from pipeline.book.params import Book, load_book
from pipeline.book.signatures import has_method
from pipeline.problems.notices import first_of
from pipeline.weights.official.table import OFFICIAL

if TYPE_CHECKING:
    from models.method import Method


NAMED = 10
"""Checkpoints that a message names."""


@dataclass(frozen=True)
class Place:
    """Where a checkpoint lies, and how its book predicts with it.

    Attributes:
        folder: of the checkpoint.
        book: that names it, or None for a folder.
        options: of the book's first ``predict_masks`` entry for it (scales, flip, average).
        crf: of that entry.
    """

    folder: Path
    book: Book | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    crf: Mapping[str, Any] | None = None


def find_checkpoint(named: str, book_folder: str = ".") -> Place:
    """Where the checkpoint lies that ``named`` means: a ``train`` entry of the book, else a folder or a file in it.

    Raises:
        ConfigurationError: neither, or weights to start from; or the book does not hold.
        DataError: the entry's checkpoint has not been made.
    """
    path = Path(named)
    inside = path.parent if path.is_file() else path
    is_book = (Path(book_folder) / "params.yaml").is_file()
    if not is_book and book_folder == "." and inside.is_dir():
        return Place(inside)
    book = load_book(book_folder)
    if named in book.train or (named in book.import_weights and book.import_weights[named].official):
        return place_of(book, named)
    if inside.is_dir():
        return Place(inside)
    if named in book.import_weights:
        raise ConfigurationError(
            f"Checkpoint '{named}' holds weights to start from, not a trained network.{closest(named, book.train)}"
        )
    raise ConfigurationError(
        f"No checkpoint '{named}': {book.book.params} trains none of that name, and there is no such folder."
        f"{closest(named, book.train)} Name another book with --book, or the folder of a checkpoint."
    )


def place_of(book: Book, name: str) -> Place:
    """Where the checkpoint of an entry of the book lies. Raises DataError where it has not been made."""
    folder = artifact(book.book.work, "checkpoints", name)
    if not folder.is_dir():
        where = "" if book.book.path == "." else f" --book {book.book.path}"
        verb = "train" if name in book.train else "import_weights"
        raise DataError(
            f"Checkpoint '{name}' has not been made: nothing at {folder}. "
            f"Remedy: python -m pipeline run {verb}@{name}{where}"
        )
    uses = [entry for entry in book.predict_masks.values() if entry.checkpoint == name]
    entry = uses[0] if uses else PredictMasksEntry(data="none", split="none", checkpoint=name)
    return Place(folder, book, entry.options, entry.crf)


def made_segmenters(book: Book) -> list[str]:
    """The trained (or published) networks of a book that can segment and have been made, in its order."""
    able = [name for name, target in METHODS.items() if has_method(target, "scores")]
    return [name for name in _segmenters(book, able) if artifact(book.book.work, "checkpoints", name).is_dir()]


def load_segmenter(place: Place) -> tuple[Method, tuple[str, ...]]:
    """The network in evaluation mode on the CPU, and its C class names.

    Raises:
        ConfigurationError: it is none that labels pixels.
        DataError: no whole checkpoint of this version.
    """
    from pipeline.storage.checkpoints import CARD, load_method, read_checkpoint

    if not (place.folder / CARD).is_file():
        raise DataError(
            f"{place.folder} holds no {CARD}. Name the folder of a checkpoint (work/BOOK/checkpoints/NAME)."
        )
    card, _ = read_checkpoint(place.folder)
    if card.method in METHODS and not has_method(METHODS[card.method], "scores"):
        raise ConfigurationError(
            f"{place.folder} holds a network of '{card.method}', which cannot segment. Remedy: {_remedy(place)}"
        )
    return load_method(place.folder), card.class_names


def _remedy(place: Place) -> str:
    able = [name for name, target in METHODS.items() if has_method(target, "scores")]
    if trained := _segmenters(place.book, able) if place.book else []:
        return f"name a checkpoint that can ({first_of(trained, NAMED)})."
    return f"name a checkpoint of a method that can ({', '.join(able)}), trained on the pseudo-masks of this one."


def _segmenters(book: Book, able: Sequence[str]) -> list[str]:
    imported = {name: OFFICIAL.get(entry.official or "") for name, entry in book.import_weights.items()}
    return [
        *(name for name, entry in book.train.items() if entry.method in able),
        *(name for name, network in imported.items() if network is not None and network.method in able),
    ]
