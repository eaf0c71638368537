"""A book whose artefacts are written by hand: two splits of small pictures, CAMs, masks, trainings, evaluations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.structures import Cam, Mask, Supervision
from pipeline.binders import evaluate
from pipeline.binders.common import header
from pipeline.book.params import VERBS, Book
from pipeline.datasets.catalogue import Catalogue, CatalogueImage
from pipeline.datasets.ground_truth import GroundTruth, ImageTruth
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore
from pipeline.tracking.log import Log

SIZE = (40, 60)
CLASSES = ("cat", "<b>dog</b> & co")
IDS = {"train": ("t0", "t 1#?%&'<i>", "t2", "t3"), "val": ("v0", "v1", "v2")}


def book(**options: Any) -> Book:
    """The book alone; its work folder is ``work/made`` of the current one."""
    data = {"data": "made"}
    sections: dict[str, Any] = {verb: {} for verb in VERBS} | {
        "book": {"root": ".", "path": ".", "params": "params.yaml", "work": "work/made"},
        "table": {"title": "Made & <b>bold</b>", "bound": "full"},
        "prepare": {"made": {"reader": "toy", "root": "."}},
        "train": {"net": data | {"supervision": "tags", "method": "segmenter", "init": "random"}},
        "export_cams": {"cam": data | {"supervision": "tags", "checkpoint": "net"}},
        "refine_cams": {"crf": data | {"cams": "cam", "refiner": "dense_crf"}},
        "make_pseudo_masks": {"pseudo": data | {"cams": "crf", "rule": "complement"}},
        "predict_masks": {name: data | {"split": "val", "checkpoint": "net"} for name in ("net", "full")},
        "evaluate": {
            "cam": data | {"of": "cams/cam"},
            "pseudo": data | {"of": "supervision/pseudo"},
            "net": data | {"of": "masks/net"},
            "full": data | {"of": "masks/full"},
        },
    }
    return Book.model_validate(sections | options)


def make(
    made: Book,
    *,
    ids: Mapping[str, Sequence[str]] = IDS,
    classes: Sequence[str] = CLASSES,
    truth: bool = True,
    stages: Sequence[str] = (
        "cams/cam",
        "cams/crf",
        "supervision/pseudo",
        "masks/net",
        "masks/full",
        "train",
        "evaluate",
    ),
) -> Catalogue:
    """Write the data set and the artefacts of ``stages`` below the current folder."""
    work = Path(made.book.work)
    catalogue = _catalogue(work, ids, classes)
    if truth:
        _truth(work, catalogue)
    for stage in stages:
        if "/" in stage:
            _store(work, catalogue, *stage.split("/"))
    if "train" in stages:
        _history(work / "histories" / "net.csv")
    if "evaluate" in stages:
        for name, entry in made.evaluate.items():
            if entry.of in stages:
                evaluate.run(made, name, Log())
    return catalogue


def mask_of(catalogue: Catalogue, id: str, shift: int = 0) -> Mask:
    """Two rectangles of classes that turn with the number of the image, and a void corner; ``shift`` spoils it."""
    number = list(catalogue.entries).index(id)
    labels = [1 + (number + k) % catalogue.num_classes for k in range(2)]
    mask = np.zeros(SIZE, np.uint8)
    mask[5 + shift : 20 + shift, 5:30] = labels[0]
    mask[10:35, 35 + shift : 55] = labels[1]
    mask[:4, :4] = 255
    return mask


def _catalogue(work: Path, ids: Mapping[str, Sequence[str]], classes: Sequence[str]) -> Catalogue:
    folder = work / "catalogues" / "made"
    (folder / "images").mkdir(parents=True)
    entries = {}
    for number, id in enumerate(id for split in ids.values() for id in split):
        noise = np.random.default_rng(number).integers(60, 200, (*SIZE, 3), np.uint8)
        file = folder / "images" / f"{number}.png"
        Image.fromarray(noise).save(file)
        tags = tuple(sorted({1 + (number + k) % len(classes) for k in range(2)}))
        entries[id] = CatalogueImage(id, f"images/{number}.png", SIZE, tags, _sha256(file))
    splits = {name: tuple(split) for name, split in ids.items()}
    catalogue = Catalogue("made", tuple(classes), splits, entries, folder=folder)
    catalogue.save(folder)
    return catalogue


def _truth(work: Path, catalogue: Catalogue) -> None:
    folder = work / "ground_truth" / "made"
    (folder / "masks").mkdir(parents=True)
    entries = {}
    for number, id in enumerate(catalogue.entries):
        file = folder / "masks" / f"{number}.png"
        Image.fromarray(mask_of(catalogue, id)).save(file)
        entries[id] = ImageTruth(f"masks/{number}.png", sha256=_sha256(file))
    GroundTruth.save(folder, ".", entries)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _store(work: Path, catalogue: Catalogue, kind: str, name: str) -> None:
    ids = catalogue.ids("val" if kind == "masks" else "train")
    path, head = work / kind / name, header(catalogue, ids)
    writer: Any
    if kind == "cams":
        writer = CamStore.create(path, head, [catalogue.entries[id].tags or () for id in ids])
    else:
        writer = (MaskStore if kind == "masks" else SupervisionStore).create(path, head)
    items = list(_items(catalogue, kind, name, ids))
    for k in range(writer.count):
        writer.write(k, items[64 * k : 64 * (k + 1)])
    writer.finish()


def _items(catalogue: Catalogue, kind: str, name: str, ids: Sequence[str]) -> Iterator[Any]:
    """The truth, spoilt more with every image; the stage "full" not at all."""
    for number, id in enumerate(ids):
        mask = mask_of(catalogue, id, shift=0 if name == "full" else number % 5)
        if kind == "masks":
            yield np.where(mask == 255, np.uint8(0), mask)
        elif kind == "supervision":
            yield Supervision(np.isin(np.arange(1, catalogue.num_classes + 1), catalogue.entries[id].tags), mask)
        else:
            classes = np.array(catalogue.entries[id].tags, np.int64)
            yield Cam(classes, 0.1 + 0.8 * (mask == classes[:, None, None]).astype(np.float32), SIZE)


def _history(path: Path) -> None:
    path.parent.mkdir(parents=True)
    lines = [f"{20 * k},{k / 2},0.01,{2 / k},{1 / k},{1 / k}" for k in range(1, 6)]
    path.write_text("\n".join(["step,epoch,lr,total,segmentation,<boundary>", *lines]) + "\n")
