"""What the page asks for, put together: data sets, layers, drawn labels and predictions of one book or folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from models.errors import Weak2MaskError
from pipeline.book.params import Book
from pipeline.look import pictures
from pipeline.look.drawings import Drawing, Drawings
from pipeline.look.images import DataSets, ImageSet
from pipeline.look.layers import Layers
from pipeline.look.paging import Query, page
from pipeline.look.predicting import Predictions
from pipeline.look.targets import find_targets
from pipeline.look.using import use
from pipeline.results.report.page import heat_gradient
from pipeline.results.report.rows import hex_colour

Plain = dict[str, Any]


@dataclass
class Desk:
    """Everything behind the page.

    Attributes:
        title: of the page.
        book: that is looked at; None for a folder.
        sets: its data sets.
        folder: where labels are drawn to, unless an entry of the book names another place.
        predictions: by its networks.
        program: what the user called, for the commands that the page names.
    """

    title: str
    book: Book | None
    sets: DataSets
    folder: Path
    predictions: Predictions
    program: str = "python -m pipeline"
    _drawings: dict[tuple[str, str], Drawings] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @cached_property
    def _layers(self) -> Layers:
        return Layers(self.book)

    def overview(self) -> Plain:
        """The data sets with their classes and splits, or why one cannot be shown; the networks; of which project."""
        return {
            "title": self.title,
            "place": hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:16],
            "sets": [self._set(name) for name in self.sets.names],
            "checkpoints": self.predictions.names,
            "heat": heat_gradient(),
        }

    def _set(self, name: str) -> Plain:
        try:
            images = self._images(name)
            targets = {split: self._drawn(name, split).targets for split in images.splits}
        except Weak2MaskError as error:
            return {"name": name, "problem": str(error), "classes": [], "splits": []}
        names = enumerate(images.catalogue.class_names, start=1)
        return {
            "name": name,
            "problem": None,
            "prepared": images.prepared,
            "classes": [{"name": each, "colour": hex_colour(label)} for label, each in names],
            "splits": [
                {
                    "name": split,
                    "images": len(ids),
                    "files": {target.kind: target.path.as_posix() for target in targets[split].all},
                }
                for split, ids in images.splits.items()
            ],
        }

    def page(self, data: str, query: Query) -> Plain:
        """As :func:`pipeline.look.paging.page`."""
        images = self._images(data)
        drawn = set().union(*self._drawn(data, query.split).ids().values())
        return page(images, query, drawn, lambda id: self._layers.tags(images, id))

    def image(self, data: str, id: str, split: str | None = None) -> Plain:
        """All about one image but its pixels; ``at`` is its position in a split, None where it is not of it.

        Raises:
            DataError: the data set does not have the id, or a file of labels cannot be read.
        """
        images = self._images(data)
        height, width = images.size(id)
        layers, problems = self._layers.of(images, id)
        tags = self._layers.tags(images, id)
        return {
            "id": id,
            "at": images.position(split, id),
            "size": [height, width],
            "tags": None if tags is None else list(tags),
            "layers": layers,
            "problems": problems,
            "drawing": self._drawn(data, images.split_of(id, split)).of(id).model_dump(),
        }

    def photo(self, data: str, id: str, whole: bool = False) -> bytes:
        """JPEG, of all pixels where it is to be ``whole``."""
        return pictures.photo(self._images(data).image(id), whole)

    def thumbnail(self, data: str, id: str) -> bytes:
        """JPEG, small."""
        return self._images(data).thumbnail(id)

    def layer(self, data: str, id: str, key: str, part: str, label: int) -> tuple[bytes, str]:
        """As :func:`pipeline.look.pictures.layer_picture`."""
        return pictures.layer_picture(self._layers.item(self._images(data), key, id), part, label)

    def save(self, data: str, id: str, drawing: Drawing, split: str | None = None) -> Plain:
        """Save what is drawn on an image of a split. Raises as :meth:`pipeline.look.drawings.Drawings.save`."""
        images = self._images(data)
        images.catalogue.entry(id)
        return {"version": self._drawn(data, images.split_of(id, split)).save(id, drawing)}

    def use(self, data: str, split: str) -> Plain:
        """What to do with the drawn labels of a split; see :func:`pipeline.look.using.use`."""
        return use(self.book, self._images(data), self._drawn(data, split), split, self.program)

    def predict(self, checkpoint: str, data: str, id: str) -> Plain:
        """A mask of an image of the data set; see :meth:`Predictions.of_image`."""
        return self.predictions.of_image(checkpoint, id, self._images(data).image(id))

    def predict_file(self, checkpoint: str, name: str, content: bytes) -> Plain:
        """A mask of an image that was sent; see :meth:`Predictions.of_file`."""
        return self.predictions.of_file(checkpoint, name, content)

    def _images(self, data: str) -> ImageSet:
        with self._lock:
            return self.sets[data]

    def _drawn(self, data: str, split: str) -> Drawings:
        """Those of a split: each may have entries, and files, of its own. Anew where the catalogue is another one."""
        images = self._images(data)
        with self._lock:
            kept = self._drawings.get((data, split))
            if kept is None or kept.images is not images:
                folder = self.folder / data if self.book else self.folder
                kept = Drawings(images, find_targets(self.book, images, split, folder))
                self._drawings[data, split] = kept
            return kept
