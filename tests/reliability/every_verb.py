"""A small book with an entry of every verb, and its entries made one by one: ``every_verb.py FOLDER`` prints hashes."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pipeline.binders.common import Log
from pipeline.book.artifacts import artifact, kind_of
from pipeline.book.check import check
from pipeline.book.lineage import ancestors
from pipeline.book.params import Book, load_book
from pipeline.datasets.catalogue import Catalogue
from pipeline.tracking.log import dvc_md5
from tests.test_end_to_end import small_book

ENTRIES = {
    "prepare": "toy",
    "annotate": "tags",
    "import_annotations": "points",
    "import_weights": "random",
    "import_proposals": "regions",
    "train": "classifier",
    "export_cams": "cam",
    "refine_cams": "cam_crf",
    "propagate_cams": "walk",
    "align_cams": "vote",
    "merge_cams": "both",
    "make_pseudo_masks": "cam_crf",
    "overlay_labels": "clicked",
    "predict_masks": "full",
    "classify_proposals": "bank",
    "evaluate": "pseudo_masks",
    "evaluate_boxes": "cam_val",
}
"""One entry of each verb."""


def write_book() -> Book:
    """In the working folder: more images than a chunk has, as small as they may be."""
    content = small_book()
    content["prepare"]["toy"] |= {"root": "params.yaml"}
    content["prepare"]["toy"]["options"] = {"seed": 3, "train": 70, "val": 4, "min_size": 32, "max_size": 40}
    for entry in content["train"].values():
        entry["loader"]["crop"] = 32
    content["train"]["full"]["init"] = "random"
    content["import_weights"]["random"]["file"] = "params.yaml"
    content |= more_verbs()
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    book = load_book()
    check(book)
    return book


def more_verbs() -> dict[str, Any]:
    """Sections with an entry of each verb that the root book has none of; points are in ``points.csv``."""
    walk = {"data": "toy", "cams": "cam", "checkpoint": "classifier", "options": {"preset": "spml"}}
    points = {"data": "toy", "split": "train", "kind": "points", "file": "points.csv"}
    regions = {"data": "toy", "split": "train", "proposer": "regions", "file": "params.yaml", "options": {"count": 9}}
    on_regions = {"data": "toy", "proposals": "regions"}
    bank = {"supervision": "cam_crf", "checkpoint": "classifier", "options": {"erosion": 0, "least_area": 9}}
    return {
        "propagate_cams": {"walk": walk},
        "import_annotations": {"points": points},
        "import_proposals": {"regions": regions},
        "align_cams": {"vote": on_regions | {"cams": "cam", "aligner": "region_vote"}},
        "merge_cams": {"both": {"data": "toy", "cams": "cam", "other": "vote"}},
        "classify_proposals": {"bank": on_regions | bank},
        "overlay_labels": {"clicked": {"data": "toy", "supervision": "cam_crf", "over": "points"}},
    }


def output(book: Book, verb: str, name: str) -> Path:
    """Where an entry's artefact lies."""
    return artifact(book.book.work, kind_of(verb), name)


def make(book: Book, verb: str, name: str) -> str:
    """Make one entry; gives the hash of its artefact."""
    if verb == "import_annotations":
        write_points(book)
    import_module(f"pipeline.binders.{verb}").run(book, name, Log())
    return dvc_md5(output(book, verb, name))


def make_all(book: Book) -> dict[str, str]:
    """Every entry of :data:`ENTRIES`, and what those stand on; the hashes of all."""
    order = dict.fromkeys(node for entry in ENTRIES.items() for node in ancestors(book, *entry))
    return {f"{verb}@{name}": make(book, verb, name) for verb, name in order}


def write_points(book: Book) -> None:
    """A point in the middle of each training image, of one class after another."""
    catalogue = Catalogue.load(output(book, "prepare", "toy"))
    rows = ["image,class,x,y"]
    for number, id in enumerate(catalogue.splits["train"]):
        height, width = catalogue.size(id)
        rows.append(f"{id},{catalogue.class_names[number % catalogue.num_classes]},{width // 2},{height // 2}")
    Path("points.csv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    print(json.dumps(make_all(write_book())))
