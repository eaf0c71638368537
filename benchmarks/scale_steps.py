"""One step of the book of :mod:`benchmarks.scale`, in this process: ``python -m benchmarks.scale_steps STEP IMAGES``.

Runs in the folder of the made project. Seconds and memory are measured by who starts it, in the steps "chunk" and
"page" here; those print JSON.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import pipeline.compute.rare_collections  # noqa: F401 (as the commands do)
from models.structures import Cam
from pipeline.binders.common import header
from pipeline.book.artifacts import artifact
from pipeline.book.params import VERBS, Book, load_book
from pipeline.datasets.catalogue import Catalogue
from pipeline.storage.stores import CamStore
from pipeline.tracking.log import Log

SIZE, GRID, SHOWN, GALLERY = (24, 32), (6, 8), (480, 640), 24
"""(H, W) of the images and of their maps; of the images that the report shows large, and how many these are."""
CLASSES = 80
SHARD = 64
CATALOGUE = "work/scale/catalogues/made"


def data_set(images: int) -> None:
    """A folder of small images with masks and two tags each; the split val has the same few large ones at any size."""
    for folder in ("data/images", "data/masks"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    with Path("data/tags.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "tags", "split"))
        for number in range(images + GALLERY):
            split = "train" if number < images else "val"
            name, labels = f"{split}_{number:07d}", _labels(number)
            _draw(name, number, SIZE if split == "train" else SHOWN, labels)
            writer.writerow((name, ";".join(f"class_{label:02d}" for label in labels), split))
    Path("params.yaml").write_text(yaml.safe_dump(_book()), encoding="utf-8")


def cams(images: int) -> None:
    """Stores of made maps, in place of a network's."""
    for split in ("train", "val"):
        catalogue = Catalogue.load(Path(CATALOGUE))
        ids = catalogue.ids(split)
        keys = [catalogue.entry(id).tags or () for id in ids]
        writer = CamStore.create(artifact("work/scale", "cams", f"made_{split}"), header(catalogue, ids), keys)
        grid = GRID if split == "train" else (SHOWN[0] // 4, SHOWN[1] // 4)
        for k in range(writer.count):
            places = range(k * SHARD, k * SHARD + len(writer.shard_ids(k)))
            writer.write(k, [_cam(keys[place], place, grid, writer.header.sizes[place]) for place in places])
        writer.finish()


def chunk(images: int) -> None:
    """Open a store and a catalogue, and read one chunk in the middle of them."""
    store_path = artifact("work/scale", "cams", "made_train")
    start = time.process_time()
    catalogue, store = Catalogue.load(Path(CATALOGUE)), CamStore.opened(store_path)
    middle = images // 2 // SHARD * SHARD
    ids = [f"train_{number:07d}" for number in range(middle, min(images, middle + SHARD))]
    for id, cam in store.items(ids):
        assert catalogue.image(id).shape[:2] == cam.size, id
    print(json.dumps({"cpu": time.process_time() - start}))


def table(images: int) -> None:
    """The results table."""
    from pipeline.results.tables.files import write_table
    from pipeline.results.tables.paper import paper_table

    write_table(paper_table(_stubbed_book()))


def report(images: int) -> None:
    """The report, with its gallery."""
    from pipeline.results.report.page import write_report

    write_report(_stubbed_book())


def page(images: int) -> None:
    """Open the report in a browser, three times; seconds until it has loaded and its plots are drawn."""
    from tests.helpers.browser import browser

    index, profile = next(Path("report").glob("*/index.html")), Path("profile").absolute()
    seconds = []
    with browser(profile) as tab:
        for _ in range(3):
            start = time.perf_counter()
            tab.open(index)
            tab.wait("document.querySelectorAll('.plot .main-svg').length >= 1")
            seconds.append(time.perf_counter() - start)
        rows = tab.run("document.querySelectorAll('article').length")
    print(json.dumps({"opens": min(seconds), "opens_worst": max(seconds), "rows": rows, "wrong": tab.problems}))


def stage(verb: str, *names: str) -> Callable[[int], None]:
    """Stages of the book."""

    def run(images: int) -> None:
        from importlib import import_module

        for name in names:
            import_module(f"pipeline.binders.{verb}").run(_stubbed_book(), name, Log())

    return run


def same(**_: Any) -> Callable[[Any, Cam], Cam]:
    """A refiner that changes nothing, in place of a CRF."""
    return lambda image, cam: cam


STEPS: dict[str, Callable[[int], None]] = {
    "made images": data_set,
    "prepare": stage("prepare", "made"),
    "annotate": stage("annotate", "train", "val"),
    "CAM store": cams,
    "refine_cams, a stub": stage("refine_cams", "train", "val"),
    "make_pseudo_masks": stage("make_pseudo_masks", "pseudo_train", "pseudo_val"),
    "evaluate, CAMs": stage("evaluate", "cam_train", "cam_val"),
    "evaluate, masks": stage("evaluate", "mask_train", "mask_val"),
    "table": table,
    "report": report,
    "chunk": chunk,
    "page": page,
}
"""In order. What the first makes is the input, and not measured as the project's."""


def _stubbed_book() -> Book:
    """The made book, and the stub among the refiners."""
    from models.refiners import REFINERS

    REFINERS["same"] = "benchmarks.scale_steps:same"
    return load_book(".")


def _book() -> dict[str, Any]:
    data = {"data": "made"}
    splits = ("train", "val")
    return {verb: {} for verb in VERBS} | {
        "book": {"root": ".", "path": ".", "params": "params.yaml", "work": "work/scale"},
        "table": {"title": "Made data", "recipes": {"made": {"label": "Made maps", "cam": "cam_train"}}},
        "prepare": {"made": {"reader": "folder", "root": "data", "options": {"masks": "masks"}}},
        "annotate": {split: data | {"split": split, "kind": "tags"} for split in splits},
        "import_weights": {"none": {"architecture": "random", "file": "params.yaml"}},
        "train": {"net": data | {"supervision": "train", "method": "classifier", "init": "none"}},
        "export_cams": {f"made_{s}": data | {"supervision": s, "checkpoint": "net"} for s in splits},
        "refine_cams": {s: data | {"cams": f"made_{s}", "refiner": "same", "dtype": "uint8"} for s in splits},
        "make_pseudo_masks": {f"pseudo_{s}": data | {"cams": s, "rule": "constant"} for s in splits},
        "evaluate": {f"cam_{s}": data | {"of": f"cams/{s}"} for s in splits}
        | {f"mask_{s}": data | {"of": f"supervision/pseudo_{s}"} for s in splits},
    }


def _labels(number: int) -> tuple[int, int]:
    first = number % CLASSES
    return first, (first + 1 + number // CLASSES % (CLASSES - 1)) % CLASSES


def _draw(name: str, number: int, size: tuple[int, int], labels: tuple[int, int]) -> None:
    """Coarse noise as the image; two rectangles as the mask, of the classes in the order of their names."""
    from PIL import Image

    height, width = size
    noise = np.random.default_rng(number).integers(0, 256, (max(6, height // 8), max(8, width // 8), 3), np.uint8)
    Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR).save(f"data/images/{name}.jpg")
    mask = np.zeros(size, np.uint8)
    for place, label in enumerate(labels):
        rows = slice(height // 4, 3 * height // 4)
        mask[rows, width * (1 + 3 * place) // 8 : width * (3 + 3 * place) // 8] = label + 1
    Image.fromarray(mask).save(f"data/masks/{name}.png", compress_level=1)


def _cam(classes: tuple[int, ...], number: int, grid: tuple[int, int], size: tuple[int, int]) -> Cam:
    """Noise around the halves of the grid in which the mask has the classes, roughly."""
    scores = np.random.default_rng(number).random((len(classes), *grid), np.float32) / 2
    for place in range(len(classes)):
        scores[place, :, place * grid[1] // 2 : (place + 1) * grid[1] // 2] += 0.5
    return Cam(np.array(classes, np.int64), scores, size)


if __name__ == "__main__":
    STEPS[sys.argv[1]](int(sys.argv[2]))
