"""A few pictures of what a stage made, as one sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from models.structures import Image, Mask
from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.params import Book
from pipeline.datasets.catalogue import Catalogue
from pipeline.pictures.overlays import Caption, cam_heat, class_labels, contact_sheet, overlay
from pipeline.storage.stores import CamStore, MaskStore, SupervisionStore

COLUMN_OF = {
    "export_cams": "CAM",
    "refine_cams": "refined CAM",
    "propagate_cams": "refined CAM",
    "align_cams": "refined CAM",
    "merge_cams": "merged CAM",
    "annotate": "supervision",
    "import_annotations": "supervision",
    "make_pseudo_masks": "pseudo-mask",
    "overlay_labels": "corrected",
    "predict_masks": "prediction",
    "classify_proposals": "prediction",
}
"""Verbs whose stores can be looked at, and what people call what is in them."""

STORES: dict[str, Any] = {"cams": CamStore, "supervision": SupervisionStore, "masks": MaskStore}
SAMPLES = 4


def gallery_sheet(book: Book, verb: str, name: str) -> Image | None:
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


def _catalogue(book: Book, verb: str, name: str) -> Catalogue:
    return Catalogue.load(artifact(book.book.work, "catalogues", book.entry(verb, name).data))


def _pictures(image: Image, item: Any, class_names: Sequence[str]) -> Iterator[Caption]:
    """The captioned pictures of one item of a store: a heat map for each class of a CAM, a mask over the image."""
    if hasattr(item, "scores"):
        for label, scores in zip(item.classes.tolist(), item.scores, strict=True):
            yield class_names[label - 1], cam_heat(image, scores)
    else:
        mask: Mask = getattr(item, "seeds", item)
        names = [class_names[label - 1] for label in class_labels(mask, class_names)]
        yield ", ".join(names) or "no class", overlay(image, mask)
