"""Small data sets with boxes, in the layouts of CUB-200-2011 and ILSVRC: a bright square on grey is the object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Corners = tuple[int, int, int, int]
COLOURS = ((220, 40, 40), (40, 60, 220), (60, 200, 60))


def picture(path: Path, label: int, boxes: Sequence[Corners], size: tuple[int, int] = (48, 64)) -> None:
    """An image (H, W) with a rectangle in the colour of the class in every box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((*size, 3), 120, np.uint8)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = COLOURS[label % len(COLOURS)]
    Image.fromarray(pixels).save(path, quality=95)


def write_cub(folder: Path, images: int = 12, classes: int = 3) -> Path:
    """Two thirds of the images are for training."""
    names = [f"{k + 1:03d}.Bird_{k + 1}" for k in range(classes)]
    lists: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": [], "bounding_boxes": []}
    for k in range(images):
        label, box = k % classes, (5 + k, 8, 29 + k, 36)
        relative = f"{names[label]}/Bird_{k:04d}.jpg"
        picture(folder / "images" / relative, label, [box])
        lists["images"].append(f"{k + 1} {relative}")
        lists["image_class_labels"].append(f"{k + 1} {label + 1}")
        lists["train_test_split"].append(f"{k + 1} {int(k < 2 * images // 3)}")
        lists["bounding_boxes"].append(f"{k + 1} {box[0]}.0 {box[1]}.0 {box[2] - box[0]}.0 {box[3] - box[1]}.0")
    lists["classes"] = [f"{k + 1} {name}" for k, name in enumerate(names)]
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_xml(path: Path, wnid: str, boxes: Sequence[Corners]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = "".join(
        f"<object><name>{wnid}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for a, b, c, d in boxes
    )
    path.write_text(f"<annotation><folder>val</folder>{objects}</annotation>")


def write_ilsvrc(folder: Path) -> Path:
    """The devkit's layout: train by class folder, val with XML files; val 2 has two objects."""
    images, annotations = folder / "Data/CLS-LOC", folder / "Annotations/CLS-LOC"
    for label, wnid in enumerate(("n01440764", "n01443537")):
        for k in range(2):
            picture(images / "train" / wnid / f"{wnid}_{k}.JPEG", label, [(4, 4, 20, 20)])
    for number, (wnid, boxes) in enumerate(
        (("n01443537", [(4, 6, 30, 30)]), ("n01440764", [(2, 2, 20, 20), (40, 10, 60, 40)])), start=1
    ):
        name = f"ILSVRC2012_val_{number:08d}"
        picture(images / "val" / f"{name}.JPEG", number, boxes)
        write_xml(annotations / "val" / f"{name}.xml", wnid, boxes)
    (folder / "LOC_synset_mapping.txt").write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\n")
    return folder


def write_lists(folder: Path, classes: int = 3) -> Path:
    """wsolevaluation's lists: train of one image a class, test of two images, the first with two boxes."""
    for split, labels in (("train", list(range(classes))), ("test", [classes - 1, 0])):
        place = folder / "metadata" / split
        place.mkdir(parents=True)
        paths = [f"{split}/{k}/0.jpeg" for k in labels]
        for path, label in zip(paths, labels, strict=True):
            picture(folder / path, label, [(4, 6, 30, 30)], size=(40, 50))
        (place / "image_ids.txt").write_text("\n".join(paths) + "\n")
        (place / "class_labels.txt").write_text("".join(f"{p},{k}\n" for p, k in zip(paths, labels, strict=True)))
        if split == "test":
            (place / "image_sizes.txt").write_text("".join(f"{path},50,40\n" for path in paths))
            boxes = [f"{paths[0]},4,6,30,30", f"{paths[0]},31,2,49,20", f"{paths[1]},4,6,30,30"]
            (place / "localization.txt").write_text("\n".join(boxes) + "\n")
    return folder
