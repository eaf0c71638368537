"""Made images in the layout of VOC 2012 with the masks of SBD, or of COCO 2014: to try commands and scale without data.

python -m benchmarks.devkit FOLDER --images 10582 --val 1449 [--size 500x375] [--seed 0] [--coco]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.devkit_masks import coco_results, write_sam
from pipeline.compute.runtime import workers
from pipeline.datasets.class_names import COCO_CLASSES, VOC_CLASSES
from pipeline.datasets.parallel import in_processes
from pipeline.datasets.voc_colours import voc_palette

COCO_IDS = tuple(id for id in range(1, 91) if id not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""Ids of COCO's 80 categories."""
CORNERS = {3: (0.0, 1.0), 4: (0.4, 1.0), 5: (0.0, 0.5), 8: (0.0, 0.7)}
"""Shapes by their number of corners: the turn of the first, and how near every second one is to the middle."""

STROKES = {"scribble/dilate_3": 3, "scribble/dilate_6_0.0": 6}
"""Folders of ScribbleSup's pictures as SPML's README links them, and how thick their strokes are."""


@dataclass(frozen=True)
class Thing:
    """A shape of a class in an image: float64 [n,2] corners x, y."""

    label: int
    corners: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kit:
    """What is made: the folder, (H, W), the number of classes, the seed and the layout."""

    folder: Path
    size: tuple[int, int]
    classes: int
    seed: int
    coco: bool

    def things(self, number: int) -> list[Thing]:
        """One to four shapes; image k has class k modulo the number of classes, so that all appear."""
        rng = np.random.default_rng((self.seed, number))
        labels = [number % self.classes + 1, *rng.integers(1, self.classes + 1, rng.integers(0, 4))]
        return [self._thing(int(label), rng) for label in labels]

    def _thing(self, label: int, rng: np.random.Generator) -> Thing:
        count = list(CORNERS)[label % len(CORNERS)]
        turn, depth = CORNERS[count]
        angles = turn + rng.uniform(0, 0.5) + np.arange(2 * count) * np.pi / count
        radii = np.where(np.arange(2 * count) % 2, depth if depth < 1 else np.cos(np.pi / count), 1.0)
        reach = rng.uniform(0.12, 0.35) * min(self.size)
        middle = rng.uniform(0.2, 0.8, 2) * self.size[::-1]
        points = middle + reach * radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        return Thing(label, np.clip(points, 0, self.size[::-1]).round(2))

    def name(self, number: int, split: str) -> str:
        return f"COCO_{split}2014_{number:012d}" if self.coco else f"2007_{number:06d}"


def draw(job: tuple[int, str], kit: Kit) -> None:
    """Write the image of a number, and for VOC its mask."""
    from skimage.draw import polygon

    number, split = job
    things, name = kit.things(number), kit.name(number, split)
    rng = np.random.default_rng((kit.seed, number, 1))
    coarse = rng.integers(60, 196, (8, 8, 3), np.uint8)
    ground = Image.fromarray(coarse).resize(kit.size[::-1], Image.Resampling.BICUBIC)
    pixels = np.asarray(ground).astype(np.int16)
    mask = np.zeros(kit.size, np.uint8)
    for thing in things:
        rows, columns = polygon(thing.corners[:, 1], thing.corners[:, 0], kit.size)
        mask[rows, columns] = thing.label
        colour = np.random.default_rng((7, thing.label)).integers(0, 256, 3)
        stripes = (columns + rows * (thing.label % 3)) // 6 % 2 * 40
        pixels[rows, columns] = colour - stripes[:, None]
    pixels += rng.integers(-12, 13, pixels.shape, np.int16)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if kit.coco:
        image.save(kit.folder / f"{split}2014" / f"{name}.jpg", quality=90)
        return
    image.save(kit.folder / "JPEGImages" / f"{name}.jpg", quality=90)
    picture = Image.fromarray(mask)
    picture.putpalette(voc_palette().tobytes())
    for place in ("SegmentationClassAug", "SegmentationClass"):
        if place == "SegmentationClassAug" or split != "aug":
            picture.save(kit.folder / place / f"{name}.png")
    (kit.folder / "Annotations" / f"{name}.xml").write_text(objects_xml(things, kit.size))
    for place, thickness in STROKES.items():
        Image.fromarray(strokes(mask, thickness)).save(kit.folder / place / f"{name}.png")


def objects_xml(things: Sequence[Thing], size: tuple[int, int]) -> str:
    """VOC's annotation of the boxes of things, in pixels from 1."""
    items = []
    for thing in things:
        (x1, y1), (x2, y2) = np.floor(thing.corners.min(0)), np.ceil(thing.corners.max(0))
        corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": min(x2, size[1]), "ymax": min(y2, size[0])}
        box = "".join(f"<{key}>{value:.0f}</{key}>" for key, value in corners.items())
        label = f"<name>{VOC_CLASSES[thing.label - 1]}</name><difficult>0</difficult>"
        items.append(f"<object>{label}<bndbox>{box}</bndbox></object>")
    return f"<annotation>{''.join(items)}</annotation>\n"


def strokes(mask: npt.NDArray[np.uint8], thickness: int) -> npt.NDArray[np.uint8]:
    """A horizontal stroke through the middle of each label, 255 where nothing is drawn."""
    drawn = np.full(mask.shape, 255, np.uint8)
    for label in np.unique(mask):
        rows = np.nonzero((mask == label).any(1))[0]
        middle = rows[len(rows) // 2]
        band = np.zeros(mask.shape, bool)
        band[max(0, middle - thickness // 2) : middle + thickness // 2 + 1] = True
        drawn[band & (mask == label)] = label
    return drawn


def write_voc(kit: Kit, jobs: Sequence[tuple[int, str]]) -> None:
    """Lists train (the first eighth of the training images), train_aug and val, and image_labels.json."""
    lists = kit.folder / "ImageSets" / "Segmentation"
    masks = ("SegmentationClass", "SegmentationClassAug")
    for folder in (lists, *(kit.folder / name for name in ("JPEGImages", "Annotations", *masks, *STROKES))):
        folder.mkdir(parents=True)
    in_processes(partial(draw, kit=kit), jobs, workers(), "drawing")
    members = {"train": ("train",), "train_aug": ("train", "aug"), "val": ("val",)}
    for name, splits in members.items():
        (lists / f"{name}.txt").write_text("".join(f"{kit.name(k, s)}\n" for k, s in jobs if s in splits))
    labels = {kit.name(k, s): sorted({thing.label for thing in kit.things(k)}) for k, s in jobs}
    content = {"classes": ["background", *VOC_CLASSES], "labels": labels}
    (kit.folder.parents[1] / "image_labels.json").write_text(json.dumps(content))


def write_coco(kit: Kit, jobs: Sequence[tuple[int, str]]) -> None:
    """annotations/instances_{train,val}2014.json; every 50th image has a crowd in run lengths."""
    (kit.folder / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        (kit.folder / f"{split}2014").mkdir()
    in_processes(partial(draw, kit=kit), jobs, workers(), "drawing")
    categories = [
        {"id": id, "name": name, "supercategory": "shape"} for id, name in zip(COCO_IDS, COCO_CLASSES, strict=True)
    ]
    height, width = kit.size
    for split in ("train", "val"):
        numbers = [number for number, own in jobs if own == split]
        images: list[dict[str, Any]] = [
            {"id": number, "file_name": f"{kit.name(number, split)}.jpg", "height": height, "width": width}
            for number in numbers
        ]
        annotations = [_annotation(number, thing) for number in numbers for thing in kit.things(number)]
        annotations += [_crowd(number, kit.size) for number in numbers if number % 50 == 0]
        content = {"images": images, "categories": categories}
        numbered = [{"id": id, **annotation} for id, annotation in enumerate(annotations, start=1)]
        path = kit.folder / "annotations" / f"instances_{split}2014.json"
        path.write_text(json.dumps({**content, "annotations": numbered}))


def _annotation(number: int, thing: Thing) -> dict[str, Any]:
    low, high = thing.corners.min(0), thing.corners.max(0)
    return {
        "image_id": number,
        "category_id": COCO_IDS[thing.label - 1],
        "segmentation": [thing.corners.ravel().tolist()],
        "bbox": [*low.tolist(), *(high - low).round(2).tolist()],
        "iscrowd": 0,
    }


def _crowd(number: int, size: tuple[int, int]) -> dict[str, Any]:
    """The lowest tenth of the image."""
    height, width = size
    low = height // 10
    counts = [height - low, low] * width
    segmentation = {"size": [height, width], "counts": counts}
    return {"image_id": number, "category_id": COCO_IDS[0], "segmentation": segmentation, "iscrowd": 1}


def write_masks(kit: Kit, jobs: Sequence[tuple[int, str]], folder: Path) -> None:
    """entityseg_val.json of the validation images; for VOC also sam_masks/ of the others."""
    results = []
    if not kit.coco:
        (folder / "sam_masks").mkdir()
    for number, split in jobs:
        corners, name = [thing.corners for thing in kit.things(number)], kit.name(number, split)
        if split == "val":
            results += coco_results(name, kit.size, corners)
        elif not kit.coco:
            write_sam(folder / "sam_masks", name, kit.size, corners)
    (folder / "entityseg_val.json").write_text(json.dumps(results))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10582, help="training images")
    parser.add_argument("--val", type=int, default=1449)
    parser.add_argument("--size", default="500x375", help="WIDTHxHEIGHT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--coco", action="store_true", help="COCO 2014's layout instead of VOC's")
    parser.add_argument("--masks", action="store_true", help="class-agnostic masks too, about 15 KB an image")
    given = parser.parse_args(arguments)
    sides = given.size.split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        parser.error(f"--size: expected WIDTHxHEIGHT, such as 500x375, found '{given.size}'.")
    if min(given.images, given.val) < 1:
        parser.error("--images and --val: expected 1 or more.")
    width, height = (int(side) for side in sides)
    place = given.folder if given.coco else given.folder / "VOCdevkit" / "VOC2012"
    if place.exists():
        sys.exit(f"{place}: is there already. Name another folder, or remove it.")
    kit = Kit(place, (height, width), len(COCO_IDS if given.coco else VOC_CLASSES), given.seed, given.coco)
    first = "train" if given.coco else "aug"
    names = ["train" if k < max(1, given.images // 8) else first for k in range(given.images)] + ["val"] * given.val
    jobs = list(enumerate(names, start=1))
    (write_coco if given.coco else write_voc)(kit, jobs)
    if given.masks:
        write_masks(kit, jobs, given.folder)
    print(f"{place}: {given.images} training images, {given.val} validation images of {width} x {height}")


if __name__ == "__main__":
    main()
