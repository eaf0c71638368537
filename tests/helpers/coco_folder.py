"""A small data set in COCO's layout: grey images of 10 x 20 pixels (H x W) and annotations that are counted by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

HEIGHT, WIDTH = 10, 20
CATEGORIES = {1: "person", 3: "car", 18: "dog"}


def square(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """A rectangle as a polygon; its pixels are those of the slice [top:bottom, left:right]."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def runs(left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    """A rectangle as run lengths down the columns."""
    inside = bottom - top
    counts = [left * HEIGHT + top]
    for _ in range(right - left - 1):
        counts += [inside, HEIGHT - inside]
    counts += [inside, (WIDTH - right) * HEIGHT + HEIGHT - bottom]
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def annotation(id: int, image: int, category: int, segmentation: Any, crowd: bool = False, **more: Any) -> Any:
    return {
        "id": id,
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "iscrowd": int(crowd),
        **more,
    }


PAINTED = [
    annotation(1, 9, 18, square(0, 0, 10, 10)),
    annotation(2, 9, 1, square(5, 0, 10, 10)),  # over the dog's right half
    annotation(3, 9, 3, runs(8, 0, 16, 10), crowd=True),  # over the person's last two columns, were it painted
]
SINGLE = [
    annotation(4, 25, 3, square(2, 2, 6, 8), bbox=[2, 2, 4, 6]),
    annotation(5, 25, 3, square(10, 2, 14, 8), bbox=[10, 2, 4, 6]),
]


def write_coco(
    root: Path,
    annotations: Mapping[str, Sequence[Any]] | None = None,
    images: Mapping[str, Sequence[int]] | None = None,
    folder: str | None = None,
    naming: str = "COCO_{split}_{number:012d}.jpg",
) -> Path:
    """train2014 has images 9 (dog, person, a crowd of cars), 25 (two cars) and 30 (nothing); val2014 has 42 (a dog)."""
    images = images or {"train2014": (9, 25, 30), "val2014": (42,)}
    annotations = annotations or {"train2014": PAINTED + SINGLE, "val2014": [annotation(6, 42, 18, square(0, 0, 4, 4))]}
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split, numbers in images.items():
        place = root / (folder or split)
        place.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)).save(place / naming.format(split=split, number=number))
        listed = [
            {"id": number, "file_name": f"COCO_{split}_{number:012d}.jpg", "height": HEIGHT, "width": WIDTH}
            for number in numbers
        ]
        categories = [{"id": id, "name": name} for id, name in reversed(CATEGORIES.items())]
        content = {"images": listed, "annotations": list(annotations[split]), "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root
