"""A small folder in VOC's layout, and its catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.datasets.voc import VOC_CLASSES

CAT, DOG = VOC_CLASSES.index("cat") + 1, VOC_CLASSES.index("dog") + 1


def write_devkit(tmp_path: Path) -> Path:
    """VOCdevkit/VOC2012 with images a (cat), b (cat and dog), c (dog) of 6 x 8 pixels."""
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    for id, values in {"a": [CAT], "b": [CAT, DOG], "c": [DOG]}.items():
        Image.new("RGB", (8, 6), (90, 90, 90)).save(folder / "JPEGImages" / f"{id}.jpg")
        mask = np.zeros((6, 8), dtype=np.uint8)
        for k, value in enumerate(values):
            mask[:, 2 * k : 2 * k + 2] = value
        mask[0] = 255
        Image.fromarray(mask).save(folder / "SegmentationClass" / f"{id}.png")
    (folder / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    (folder / "ImageSets/Segmentation/val.txt").write_text("/JPEGImages/c.jpg /SegmentationClass/c.png\n")
    return folder


def make(tmp_path: Path, on_bad_image: str = "stop", **options: object) -> tuple[Catalogue, GroundTruth]:
    places = tmp_path / "c" / "voc", tmp_path / "g" / "voc"
    catalogue = make_catalogue("voc", *places, {"root": str(tmp_path), **options}, on_bad_image=on_bad_image)  # type: ignore[arg-type]
    return catalogue, GroundTruth(catalogue, places[1])
