"""Readers of data sets, by the name that a recipe calls them."""

from __future__ import annotations

READERS = {
    "toy": "pipeline.datasets.toy:toy",
    "voc": "pipeline.datasets.voc:voc",
    "coco": "pipeline.datasets.coco:coco",
    "folder": "pipeline.datasets.folder:folder",
    "densepose": "pipeline.datasets.densepose:densepose",
    "cub": "pipeline.datasets.cub:cub",
    "ilsvrc": "pipeline.datasets.ilsvrc:ilsvrc",
}
