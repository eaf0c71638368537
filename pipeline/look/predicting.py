"""Masks of an image with a trained network of the book, or with the checkpoint that the command named."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import ConfigurationError, DataError, closest
from models.structures import Image
from pipeline.book.params import Book
from pipeline.compute.engines.job import is_out_of_memory
from pipeline.datasets.images import TILES, BadFileError
from pipeline.inference.options import predict_options
from pipeline.inference.trained import Place, find_checkpoint, load_segmenter, made_segmenters, place_of
from pipeline.inference.worker import PredictOptions, segment
from pipeline.look import pictures
from pipeline.results.report.rows import hex_colour
from pipeline.storage.once import open_once

if TYPE_CHECKING:
    from stages.predict_masks import Scored

Plain = dict[str, Any]


@dataclass
class Predictions:
    """The networks that the page offers; one image at a time.

    Attributes:
        book: whose networks; None for none.
        named: checkpoint that the command named, or None.
    """

    book: Book | None
    named: str | None = None
    _lock: Lock = field(default_factory=Lock)

    @cached_property
    def _named(self) -> dict[str, Place]:
        if not self.named:
            return {}
        return {self.named: find_checkpoint(self.named, self.book.book.path if self.book else ".")}

    def check(self) -> None:
        """Raises ConfigurationError or DataError where the named checkpoint is none that segments."""
        for place in self._named.values():
            _class_names(place.folder)

    @property
    def names(self) -> list[str]:
        """The checkpoint that was named first, then those of the book that have been made."""
        made = made_segmenters(self.book) if self.book else []
        return [*self._named, *(name for name in made if name not in self._named)]

    def of_file(self, checkpoint: str, name: str, content: bytes) -> Plain:
        """Segment an image file that was sent; turned upright as its EXIF orientation says.

        Raises:
            DataError: the file is no image that can be read, or is too large.
        """
        from pipeline.datasets.photos import read_photo

        how = self._how(checkpoint)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image"
            file.write_bytes(content)
            try:
                photo = read_photo(file, upright=True, scale=max(how.scales))
            except BadFileError as bad:
                raise DataError(f"{name}: expected {bad.expected}, found {bad.found}") from None
        return self.of_image(checkpoint, name, photo.pixels) | {
            "photo": _address(pictures.photo(photo.pixels), "image/jpeg")
        }

    def of_image(self, checkpoint: str, name: str, image: Image) -> Plain:
        """Segment an image uint8 [H,W,3].

        Returns:
            ``size`` [H, W]; as data addresses ``mask`` (PNG of the labels as ``predict`` writes it), and ``fill``,
            ``line`` and ``unsure`` (1 - probability of each pixel's label) to look at;
            ``classes`` and ``background`` with their share of the pixels and mean probability; ``how``.

        Raises:
            ConfigurationError: no such checkpoint, or one that does not segment.
            DataError: the checkpoint has not been made, or the image does not fit into memory.
        """
        from pipeline.compute.runtime import device
        from pipeline.storage.checkpoints import CARD

        place, how = self._place(checkpoint), self._how(checkpoint)
        with self._lock:
            class_names = open_once(_class_names, place.folder, CARD)
            try:
                scored = segment(name, image, None, place.folder, how, device())
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                size = f"{image.shape[1]} x {image.shape[0]} pixels"
                raise DataError(f"{name}: an image of {size} does not fit into memory. Remedy: {TILES}") from None
        return _plain(scored, class_names) | {"name": name, "checkpoint": checkpoint, "how": str(how)}

    def _place(self, checkpoint: str) -> Place:
        """One of those that are offered: a page names no folders."""
        if checkpoint in self._named:
            return self._named[checkpoint]
        if self.book is None or checkpoint not in self.names:
            raise ConfigurationError(
                f"There is no network '{checkpoint}' to predict with.{closest(checkpoint, self.names)}"
            )
        return place_of(self.book, checkpoint)

    def _how(self, checkpoint: str) -> PredictOptions:
        return predict_options(self._place(checkpoint), None, None, None)


def _class_names(folder: Path) -> tuple[str, ...]:
    """Of a checkpoint that segments; raises as :func:`pipeline.inference.trained.load_segmenter`."""
    return load_segmenter(Place(folder))[1]


def _plain(scored: Scored, class_names: tuple[str, ...]) -> Plain:
    mask = scored.mask
    shares = np.bincount(mask.ravel(), minlength=1 + len(class_names)) / mask.size
    labels: list[Mapping[str, Any]] = [
        {
            "label": label,
            "name": name,
            "colour": hex_colour(label) if label else None,
            "share": round(float(shares[label]), 4),
            "score": round(float(scored.scores[label]), 4),
        }
        for label, name in enumerate(("background", *class_names))
    ]
    return {
        "size": list(mask.shape),
        "mask": _address(pictures.labels(mask), pictures.PNG),
        "fill": _address(pictures.fill(mask), pictures.PNG),
        "line": _address(pictures.outline(mask), pictures.PNG),
        "unsure": _address(pictures.heat(1 - scored.confidence, mask.shape), pictures.WEBP),
        "background": labels[0],
        "classes": [label for label in labels[1:] if label["share"]],
    }


def _address(content: bytes, media_type: str) -> str | None:
    """The content as an address that a page can show; None for nothing."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}" if content else None
