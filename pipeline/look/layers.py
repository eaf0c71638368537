"""What a book has made of one image: a layer for each store that holds it, and one for its ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from models.errors import DataError, closest
from models.structures import UNLABELLED, Cam, Mask, Supervision
from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.params import Book
from pipeline.datasets.ground_truth import TRUTH_FILE, GroundTruth
from pipeline.look.images import ImageSet
from pipeline.pictures.gallery import COLUMN_OF, STORES
from pipeline.pictures.overlays import class_labels
from pipeline.results.report.sources import ORDER, TRUTH
from pipeline.storage.shards import METADATA

VERBS = ("annotate", "import_annotations", *ORDER)
"""Verbs that make a layer, in the order of the layers."""
SPARSE = 5e-4
"""Part of the pixels that are labelled below which labels are enlarged, so that a click can be seen."""

Plain = dict[str, Any]


class Layers:
    """The stores of a book, opened once as long as they stay the same."""

    def __init__(self, book: Book | None) -> None:
        self._book = book
        self._opened: dict[Path, tuple[int, Any]] = {}
        self._lock = Lock()

    def of(self, images: ImageSet, id: str) -> tuple[list[Plain], list[str]]:
        """The layers of an image for the page, and why others are left out.

        A layer has ``key`` ("cams/cam"), ``title`` ("CAM"), ``name`` of its entry, ``heat`` (a map for each class, or
        one mask), the ``classes`` 1..C that it shows, and ``boxes`` [x1, y1, x2, y2, class].
        """
        layers: list[Plain] = []
        problems: list[str] = []
        for key, title in self._keys(images):
            try:
                item = self._item(images, key, id)
            except DataError as error:
                problems.append(str(error))
                continue
            if item is not None:
                layers.append(_plain(key, title, item, images.catalogue.class_names))
        return layers, problems

    def tags(self, images: ImageSet, id: str) -> Sequence[int] | None:
        """Classes of an image: published ones, or those of the book's first supervision of it; None without any."""
        published = images.catalogue.entry(id).tags
        if published is not None or self._book is None or not images.prepared:
            return published
        for verb in ("annotate", "import_annotations"):
            for name, entry in getattr(self._book, verb).items():
                path = self._path(f"supervision/{name}")
                if entry.data != images.catalogue.name or not path.exists():
                    continue
                store = self._store(f"supervision/{name}")
                if id in store:
                    return [int(label) + 1 for label in np.flatnonzero(store.tags(id))]
        return None

    def item(self, images: ImageSet, key: str, id: str) -> Any:
        """What a layer holds of an image: a Cam, a Supervision or a mask.

        Raises:
            DataError: no such layer, or none of this image.
        """
        known = dict(self._keys(images))
        if key not in known:
            raise DataError(f"There is no layer '{key}' of data set '{images.catalogue.name}'.{closest(key, known)}")
        item = self._item(images, key, id)
        if item is None:
            raise DataError(f"Layer '{key}' has nothing of image '{id}'.")
        return item

    def _keys(self, images: ImageSet) -> Iterator[tuple[str, str]]:
        """(key, title) of every layer that has been made."""
        if self._book is None or not images.prepared:
            return
        for verb in VERBS:
            for name, entry in getattr(self._book, verb).items():
                if entry.data == images.catalogue.name and self._path(f"{kind_of(verb)}/{name}").exists():
                    yield f"{kind_of(verb)}/{name}", COLUMN_OF[verb]
        if (self._truth_folder(images) / TRUTH_FILE).is_file():
            yield TRUTH, "ground truth"

    def _path(self, key: str) -> Path:
        assert self._book is not None
        return artifact(self._book.book.work, *key.split("/"))

    def _truth_folder(self, images: ImageSet) -> Path:
        assert self._book is not None
        return artifact(self._book.book.work, "ground_truth", images.catalogue.name)

    def _item(self, images: ImageSet, key: str, id: str) -> Any:
        """None where the layer has nothing of the image. One reader at a time: a store keeps its shards open."""
        with self._lock:
            if key == TRUTH:
                truth = GroundTruth(images.catalogue, self._truth_folder(images))
                return truth.mask(id) if truth.has_mask(id) else None
            store = self._store(key)
            if id not in store:
                return None
            store.require([id], "the page", images.catalogue.digest)
            return store[id]

    def _store(self, key: str) -> Any:
        """Opened again when the stage has run again."""
        path = self._path(key)
        try:
            written = (path / METADATA).stat().st_mtime_ns
        except OSError:
            written = 0
        if path not in self._opened or self._opened[path][0] != written:
            self._opened[path] = written, STORES[key.partition("/")[0]](path)
        return self._opened[path][1]


def _plain(key: str, title: str, item: Any, names: tuple[str, ...]) -> Plain:
    made: Plain = {"key": key, "title": title, "name": key.partition("/")[2], "heat": isinstance(item, Cam)}
    if isinstance(item, Cam):
        return made | {"classes": item.classes.tolist(), "boxes": []}
    boxes = []
    if isinstance(item, Supervision) and item.boxes is not None and item.box_classes is not None:
        boxes = [
            [*corners, label] for corners, label in zip(item.boxes.tolist(), item.box_classes.tolist(), strict=True)
        ]
    return made | {"classes": class_labels(mask_of(item), names), "boxes": boxes}


def mask_of(item: Any) -> Mask:
    """Seeds or a mask as uint8 [H,W]; few labelled pixels, such as clicks, are enlarged so that they can be seen."""
    mask: Mask = getattr(item, "seeds", item)
    labelled = mask != UNLABELLED
    if not 0 < labelled.sum() < SPARSE * mask.size:
        return mask
    distance, nearest = distance_transform_edt(~labelled, return_indices=True)
    return np.where(distance <= max(2.0, max(mask.shape) / 250), mask[tuple(nearest)], UNLABELLED).astype(np.uint8)
