"""The data sets that the page shows: prepared ones by their catalogue, others by what their reader lists."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from models.doors import resolve
from models.errors import ConfigurationError, DataError, closest
from models.structures import Image
from pipeline.book.artifacts import artifact
from pipeline.book.params import Book
from pipeline.datasets import READERS
from pipeline.datasets.catalogue import FILE, Catalogue, CatalogueImage
from pipeline.datasets.folder import folder as folder_reader
from pipeline.datasets.images import BadFileError, image_size, opened, read_image, to_rgb
from pipeline.datasets.listing import Listing
from pipeline.new_book.layout import annotated_classes, images_folder
from pipeline.storage.once import open_once
from stages.prepare import id_problem

UNKNOWN = (0, 0)
"""Size of an image that nobody has opened yet."""
ALL = "images"
"""The split of a plain folder."""
THUMBNAIL = 256
"""Pixels of the long side."""


@dataclass(frozen=True)
class ImageSet:
    """The images of one data set.

    Attributes:
        catalogue: of ``prepare``, or of names alone: sizes are (0, 0) and files are not known to be good.
        prepared: whether it is that of ``prepare``.
    """

    catalogue: Catalogue
    prepared: bool

    @cached_property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Ids of each split, read once."""
        return {name: self.catalogue.ids(name) for name in self.catalogue.splits}

    def ids(self, split: str) -> tuple[str, ...]:
        """Ids of a split, in order. Raises ConfigurationError where there is no such split."""
        if split not in self.splits:
            raise ConfigurationError(
                f"Data set '{self.catalogue.name}' has no split '{split}'.{closest(split, self.splits)}"
            )
        return self.splits[split]

    def position(self, split: str | None, id: str) -> int | None:
        """Of an image in a split, from 0; None where it is not of it, or there is no such split."""
        ids = self.splits.get(split or "", ())
        return ids.index(id) if id in ids else None

    def split_of(self, id: str, asked: str | None = None) -> str:
        """The split that is asked for where it has the image, or else the first that has it; "" where none has it."""
        names = [*([asked] if asked in self.splits else []), *self.splits]
        return next((name for name in names if id in self.splits[name]), "")

    def path(self, id: str) -> Path:
        """The image's file. Raises DataError for an id that the data set does not have."""
        return self.catalogue.path(self.catalogue.entry(id).image)

    def size(self, id: str) -> tuple[int, int]:
        """(H, W) in pixels. Raises DataError where the image cannot be read."""
        size = self.catalogue.entry(id).size
        if size != UNKNOWN:
            return size
        try:
            return image_size(self.path(id), upright=self.catalogue.upright)
        except BadFileError as bad:
            raise DataError(f"{self.path(id)}: {bad}") from None

    def image(self, id: str) -> Image:
        """uint8 [H,W,3]. Raises DataError where it cannot be read, or is not what ``prepare`` saw."""
        if self.prepared:
            return self.catalogue.image(id)
        try:
            return read_image(self.path(id), upright=self.catalogue.upright)
        except BadFileError as bad:
            raise DataError(f"{self.path(id)}: {bad}") from None

    def thumbnail(self, id: str) -> bytes:
        """A JPEG of at most :data:`THUMBNAIL` pixels a side; large JPEGs are decoded at a part of their size."""
        try:
            with opened(self.path(id), "an image file") as picture:
                picture.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
                small = Pictures.fromarray(to_rgb(picture, self.catalogue.upright))
        except BadFileError as bad:
            raise DataError(f"{self.path(id)}: {bad}") from None
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


@dataclass
class DataSets:
    """The data sets of a book, or the one of a folder, by name."""

    book: Book | None
    alone: ImageSet | None = None
    _kept: dict[str, ImageSet] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """In the order of the book."""
        return list(self.book.prepare) if self.book else [self.alone.catalogue.name] if self.alone else []

    def __getitem__(self, name: str) -> ImageSet:
        """Raises ConfigurationError for an unknown name, DataError where its images cannot be listed."""
        if name not in self.names:
            raise ConfigurationError(f"There is no data set '{name}'.{closest(name, self.names)}")
        if self.book is None:
            assert self.alone is not None, "a book, or a folder"
            return self.alone
        folder = artifact(self.book.book.work, "catalogues", name)
        if not (folder / FILE).is_file():
            kept = self._kept.get(name)
            if kept is None or kept.prepared:
                kept = self._kept[name] = _listed(self.book, name)
            return kept
        catalogue = open_once(Catalogue.load, folder, FILE)
        kept = self._kept.get(name)
        if kept is None or kept.catalogue is not catalogue:
            kept = self._kept[name] = ImageSet(catalogue, prepared=True)
        return kept


def _listed(book: Book, name: str) -> ImageSet:
    """What the reader of a data set lists, before ``prepare``."""
    entry = book.prepare[name]
    options = entry.options | ({"download": False} if "download" in entry.options else {})  # to look fetches nothing
    listing: Listing = resolve(READERS, entry.reader, "reader")(root=entry.root, **options)
    if listing.root == ".":
        where = "" if book.book.path == "." else f" --book {book.book.path}"
        raise DataError(
            f"The images of data set '{name}' have to be made first: python -m pipeline run prepare@{name}{where}"
        )
    return ImageSet(_catalogue(name, listing), prepared=False)


def _catalogue(name: str, listing: Listing, split: str | None = None) -> Catalogue:
    """A listing as a catalogue of names; ``split`` takes the place of the names of its splits."""
    items = {item.id: item for split in listing.splits.values() for item in split if not id_problem(item.id, "")}
    splits = {
        key: tuple(dict.fromkeys(item.id for item in listed if item.id in items))
        for key, listed in listing.splits.items()
    }
    return Catalogue(
        name=name,
        class_names=listing.class_names,
        splits=splits if split is None else {split: tuple(items)},
        entries={id: CatalogueImage(id, item.image, item.size or UNKNOWN, item.tags) for id, item in items.items()},
        root=listing.root,
        mask_values=listing.mask_values,
        mask_background=listing.mask_background,
        upright=listing.upright,
    )


def folder_images(folder: Path, classes: Sequence[str] | None) -> ImageSet:
    """The images of a plain folder, in the layout that ``init`` reads.

    Args:
        folder: with images, or with a folder ``images`` of them; a ``tags.csv`` in it tags them.
        classes: names; None takes those of ``tags.csv``, or of boxes.csv and points.csv. They are sorted, as ``init``
            sorts them.

    Raises:
        DataError: no images, or no class names.
    """
    images = images_folder(folder)
    tags = "tags.csv" if (folder / "tags.csv").is_file() else None
    names = sorted(dict.fromkeys(classes)) if classes else None
    if tags is None and names is None:
        try:
            names = annotated_classes(folder)
        except DataError:
            raise ConfigurationError(
                f"{folder}: expected class names to draw with, found neither tags.csv, boxes.csv nor points.csv. "
                "Remedy: name them, as with --classes cat,dog."
            ) from None
    options: Mapping[str, str | None] = {"images": images, "tags": tags}
    listing = folder_reader(str(folder), classes=names, val_fraction=0.0, **options)  # type: ignore[arg-type]
    return ImageSet(_catalogue(folder.resolve().name, listing, split=ALL), prepared=False)


def shape_of(image: Image) -> tuple[int, int]:
    """(H, W)."""
    height, width = np.shape(image)[:2]
    return height, width
