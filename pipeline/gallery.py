"""Pictures of a book's artefacts: a few for each MLflow run, and the gallery page over all of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import DataError
from models.structures import Image, Mask
from pipeline.artifacts import artifact, kind_of
from pipeline.datasets.catalogue import Catalogue, GroundTruth
from pipeline.params import Book
from pipeline.pictures import Caption, cam_heat, contact_sheet, overlay
from pipeline.report import Row, RowBuilder, write_gallery
from pipeline.stores import CamStore, MaskStore, SupervisionStore
from pipeline.table import book_results

COLUMN_OF = {
    "export_cams": "CAM",
    "refine_cams": "refined CAM",
    "annotate": "supervision",
    "import_annotations": "supervision",
    "make_pseudo_masks": "pseudo-mask",
    "predict_masks": "prediction",
}
"""Verbs whose stores can be looked at, and the gallery column that they fill."""

STORES: dict[str, Any] = {"cams": CamStore, "supervision": SupervisionStore, "masks": MaskStore}
SAMPLES = 4


def sample_sheet(book: Book, verb: str, name: str) -> Image | None:
    """A contact sheet of the first images of a stage's store, RGB uint8; None for verbs without pictures."""
    if verb not in COLUMN_OF:
        return None
    catalogue = _catalogue(book, verb, name)
    store = STORES[kind_of(verb)](artifact(book.book.work, kind_of(verb), name))
    rows = []
    for id, item in store.items(store.ids[:: max(1, len(store) // SAMPLES)][:SAMPLES]):
        image = catalogue.image(id)
        rows.append([(id, image), *_pictures(image, item, catalogue.class_names)])
    return contact_sheet(rows)


def write_book_gallery(book: Book, images: int) -> Path:
    """Write ``report/BOOK/index.html`` from whatever of the book has been made.

    Args:
        book: the recipe book.
        images: how many images of each split to show, evenly spaced.

    Raises:
        DataError: nothing has been made yet.
    """
    rows = [row for data in book.prepare for row in _rows(book, data, images)]
    if not rows:
        raise DataError(f"{book.book.work} has nothing to show yet. Run the book first: python -m pipeline run.")
    names = next(Catalogue.load(artifact(book.book.work, "catalogues", data)).class_names for data in book.prepare)
    title = book.table.title or book.name
    return write_gallery(Path("report") / book.name, rows, names, title, book_results(book), _plots(book))


def _catalogue(book: Book, verb: str, name: str) -> Catalogue:
    return Catalogue.load(artifact(book.book.work, "catalogues", book.entry(verb, name).data))


def _pictures(image: Image, item: Any, class_names: Sequence[str]) -> Iterator[Caption]:
    """The captioned pictures of one item of a store."""
    if hasattr(item, "scores"):
        for label, scores in zip(item.classes.tolist(), item.scores, strict=True):
            yield class_names[label - 1], cam_heat(image, scores)
    else:
        mask: Mask = getattr(item, "seeds", item)
        found = [class_names[label - 1] for label in np.unique(mask).tolist() if 1 <= label <= len(class_names)]
        yield ", ".join(found) or "no class", overlay(image, mask)


def _rows(book: Book, data: str, images: int) -> Iterator[Row]:
    """A row for each chosen image, with a cell for every store that has it."""
    folder = artifact(book.book.work, "catalogues", data)
    if not folder.exists():
        return
    catalogue = Catalogue.load(folder)
    truth = GroundTruth(catalogue, artifact(book.book.work, "ground_truth", data))
    stores = list(_stores(book, data))
    for split in catalogue.splits:
        ids = catalogue.ids(split)
        shown = [(title, store) for title, store in stores if store.ids == ids]
        for id in ids[:: max(1, len(ids) // images)][:images] if shown else ():
            yield _row(catalogue, truth, id, split, shown)


def _row(catalogue: Catalogue, truth: GroundTruth, id: str, split: str, stores: Sequence[tuple[str, Any]]) -> Row:
    row = RowBuilder(id, catalogue.image(id), catalogue.class_names, split)
    for title, store in stores:
        if isinstance(store, CamStore):
            row.cam(title, store[id])
        else:
            row.mask(title, getattr(store[id], "seeds", store[id]))
    try:
        row.mask("ground truth", truth.mask(id))
    except DataError:
        return row.row()  # an image without a mask is shown without one
    return row.row()


def _stores(book: Book, data: str) -> Iterator[tuple[str, Any]]:
    """(column title, store) of everything that has been made of a data set, full supervision left out."""
    for verb, name in book.entries():
        if verb not in COLUMN_OF or COLUMN_OF[verb] == "supervision" or book.entry(verb, name).data != data:
            continue
        path = artifact(book.book.work, kind_of(verb), name)
        if path.exists():
            several = len(getattr(book, verb)) > 1
            yield f"{COLUMN_OF[verb]}: {name}" if several else COLUMN_OF[verb], STORES[kind_of(verb)](path)


def _plots(book: Book) -> list[Caption]:
    """Loss curves of the trainings and threshold curves of the CAMs."""
    losses = {name: Path(book.book.work) / "histories" / f"{name}.csv" for name in book.train}
    sweeps = {name: artifact(book.book.work, "evaluations", name) / "sweep.csv" for name in book.evaluate}
    plots = [
        ("training loss", _lines(losses, "step", "total")),
        ("CAM mIoU against the background threshold", _lines(sweeps, "threshold", "miou")),
    ]
    return [(caption, picture) for caption, picture in plots if picture is not None]


def _lines(files: dict[str, Path], x: str, y: str) -> Image | None:
    """One line for each file that has rows, RGB uint8; None when there is none."""
    curves = {name: _columns(path, x, y) for name, path in files.items() if path.is_file()}
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    if not curves:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    for name, curve in curves.items():
        axes.plot(curve[:, 0], curve[:, 1], label=name)
    axes.legend()
    axes.grid(alpha=0.3)
    canvas.draw()
    picture: Image = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return picture


def _columns(path: Path, x: str, y: str) -> np.ndarray:
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([(float(row[x]), float(row[y])) for row in csv.DictReader(file)])
