"""The rows of the gallery: for each image its layers as files, and what the page needs to know to show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.structures import UNLABELLED, Cam, Image, Mask
from pipeline.compute.chunks import map_chunks
from pipeline.pictures.overlays import class_labels, colours
from pipeline.results.report.images import Palette, save_fill, save_heat, save_outline, save_photo, shown_size
from pipeline.results.report.scores import as_mask, image_iou, mean_iou
from pipeline.results.report.sources import TRUTH, Column, DataSet, Judge

CHUNK_SIZE = 8
FEW = 64
PICTURES = "pictures"
WHITE: Palette = np.full((256, 3), 255, np.uint8)

Plain = dict[str, Any]
"""What becomes JSON."""


def write_rows(writer: RowWriter) -> list[Plain]:
    """Write the pictures of all the images; a row of the page for each."""
    (writer.folder / PICTURES).mkdir(parents=True, exist_ok=True)
    chunks = range(-(-len(writer.images) // CHUNK_SIZE))
    by_chunk = map_chunks(writer, chunks, "report: pictures", 0 if len(writer.images) <= FEW else None)
    return [row for chunk in by_chunk for row in chunk]


@dataclass(frozen=True)
class RowWriter:
    """Writes the pictures of a chunk of the images; picklable, so that any process can.

    Attributes:
        folder: of the report.
        work: folder of the book's artefacts.
        images: ("DATA/SPLIT", id) of each row.
        columns: the stores to show.
        judges: the evaluations to judge by.
        names: class names of the whole page; a label of the page is a position here, from 1 on.
    """

    folder: Path
    work: str
    images: Sequence[tuple[str, str]]
    columns: Sequence[Column]
    judges: Sequence[Judge]
    names: Sequence[str]

    def __call__(self, k: int) -> list[Plain]:
        numbered = list(enumerate(self.images))[k * CHUNK_SIZE : (k + 1) * CHUNK_SIZE]
        return [self._row(number, place, id) for number, (place, id) in numbered]

    @cached_property
    def _data(self) -> dict[str, DataSet]:
        return {place.partition("/")[0]: DataSet(self.work, place.partition("/")[0]) for place, _ in self.images}

    def _row(self, number: int, place: str, id: str) -> Plain:
        data = self._data[place.partition("/")[0]]
        one = _OneImage(self, number, data, data.catalogue.image(id), id)
        save_photo(self.folder / one.file("photo.jpg"), one.image)
        columns = [column for column in self.columns if f"{column.data}/{column.split}" == place]
        stores = {column.key: data.store(column.key) for column in columns}
        items = {key: store[id] for key, store in stores.items() if id in store}
        truth = data.truth.mask(id) if data.has_truth(id) else None
        cells = {key: one.cell(position, key, item) for position, (key, item) in enumerate(items.items())}
        if truth is not None:
            cells[TRUTH] = one.mask("truth", truth)
        height, width = shown_size(one.image.shape[:2])
        return {
            "id": id,
            "split": place,
            "size": [width, height],
            "photo": one.file("photo.jpg"),
            "present": one.present(truth),
            "cells": cells,
            "scores": {} if truth is None else dict(one.scores(items, truth)),
        }


@dataclass(frozen=True)
class _OneImage:
    """Makes what one row shows."""

    writer: RowWriter
    number: int
    data: DataSet
    image: Image
    id: str

    def file(self, name: str) -> str:
        """Relative path of a picture: numbered, since an id may hold characters that an address may not."""
        return f"{PICTURES}/{self.number:05d}_{name}"

    @cached_property
    def labels(self) -> list[int]:
        """The page's label of each label of the data set."""
        return [0, *(1 + self.writer.names.index(name) for name in self.data.catalogue.class_names)]

    @cached_property
    def palette(self) -> Palette:
        palette = colours().copy()
        for label, shown in enumerate(self.labels):
            palette[label] = colours()[page_colour(shown)]
        return palette

    def present(self, truth: Mask | None) -> list[int]:
        """The page's labels of the classes in the ground truth, or else of the tags."""
        if truth is not None:
            return [self.labels[label] for label in class_labels(truth, self.data.catalogue.class_names)]
        return [self.labels[label] for label in self.data.catalogue.entry(self.id).tags or ()]

    def cell(self, place: int, key: str, item: Any) -> list[Plain]:
        """The layers of one column: one for each class of a CAM, one for a mask."""
        return self.cam(str(place), key, item) if isinstance(item, Cam) else self.mask(str(place), as_mask(item, None))

    def mask(self, name: str, mask: Mask) -> list[Plain]:
        fill, line = self.file(f"{name}_fill.png"), self.file(f"{name}_line.png")
        save_fill(self.writer.folder / fill, mask, self.palette)
        drawn = save_outline(self.writer.folder / line, mask, self.palette)
        labels = [self.labels[label] for label in class_labels(mask, self.data.catalogue.class_names)]
        return [{"classes": labels, "fill": fill, "line": line if drawn else None}]

    def cam(self, name: str, key: str, cam: Cam) -> list[Plain]:
        """A heat map for each class; outlined in white where the class wins at the best threshold, if that is known."""
        threshold = next((judge.threshold for judge in self.writer.judges if judge.column == key), None)
        won = None if threshold is None else as_mask(cam, threshold)
        layers = []
        for label, scores in zip(cam.classes.tolist(), cam.scores, strict=True):
            heat, line = self.file(f"{name}_{label}.webp"), self.file(f"{name}_{label}_line.png")
            save_heat(self.writer.folder / heat, scores, self.image.shape[:2])
            drawn = won is not None and save_outline(self.writer.folder / line, (won == label).astype(np.uint8), WHITE)
            layers.append(
                {"classes": [self.labels[label]], "fill": heat, "line": line if drawn else None, "heat": True}
            )
        return layers

    def scores(self, items: dict[str, Any], truth: Mask) -> Iterator[tuple[str, dict[str, float]]]:
        """(evaluation, IoU in percent of each label of the page and their mean)."""
        for judge in self.writer.judges:
            if judge.column in items:
                mask = as_mask(items[judge.column], judge.threshold)
                iou = image_iou(mask, truth, self.data.catalogue.num_classes)
                mean = mean_iou(iou)
                if mean is not None:
                    each = {str(self.labels[label]): round(100 * value, 1) for label, value in iou.items()}
                    yield judge.name, {"mean": round(100 * mean, 1)} | each


def page_colour(label: int) -> int:
    """Position in the palette of a label of the page; only beyond 253 classes do two share one."""
    return (label - 1) % (UNLABELLED - 1) + 1 if label else 0


def hex_colour(label: int) -> str:
    """``#rrggbb`` of a label of the page."""
    return "#" + np.asarray(colours()[page_colour(label)]).tobytes().hex()
