"""A made book for the local page: entries that read what is drawn, and a small network that has learnt nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipeline.book.params import Book
from pipeline.look.desk import Desk
from pipeline.look.images import DataSets
from pipeline.look.predicting import Predictions
from pipeline.storage.checkpoints import build_method, save_checkpoint
from tests.helpers import made_book

SMALL = {"backbone": "resnet18", "width": 0.25, "output_stride": 8, "head_width": 8}


def book(**options: Any) -> Book:
    """The made book; every training image may be drawn on."""
    return made_book.book(**options)


def desk(made: Book) -> Desk:
    """What the page of a book shows."""
    return Desk("Made", made, DataSets(made), Path("annotations/made"), Predictions(made))


def make_network(made: Book, name: str = "net") -> None:
    """The checkpoint of an entry of the book: it says something else in bright and in dark places."""
    method: Any = build_method("segmenter", len(made_book.CLASSES), SMALL, seed=1)
    torch.nn.init.normal_(method.head.classifier.weight, generator=torch.Generator().manual_seed(2))
    folder = Path(made.book.work) / "checkpoints" / name
    save_checkpoint(folder, method, recipe={"method": "segmenter", "options": SMALL}, class_names=made_book.CLASSES)
