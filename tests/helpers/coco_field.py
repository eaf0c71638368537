"""Small COCO data sets as people have them: two grey images, a leaf and a stone, and whatever is odd about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from models.errors import DataError
from pipeline.datasets.build import make_catalogue
from pipeline.datasets.catalogue import Catalogue
from pipeline.datasets.ground_truth import GroundTruth
from pipeline.problems.notices import read_notices
from tests.helpers.coco_folder import HEIGHT, WIDTH, square

LEAF, STONE = 1, 2
CATEGORIES = [{"id": 1, "name": "leaf"}, {"id": 2, "name": "stone"}]


def entry(number: int, file_name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "file_name": file_name, "height": HEIGHT, "width": WIDTH, **more}


def region(image: Any, category: Any, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0, **more}


def boxed(image: int, category: int, bbox: Any, **more: Any) -> dict[str, Any]:
    return region(image, category, [], bbox=bbox, **more)


TWO = [entry(1, "a.png"), entry(2, "b.png")]
REGIONS = [region(1, 1, square(2, 2, 8, 8)), region(2, 2, square(4, 0, 10, 10))]


def write(
    root: Path,
    images: Sequence[Any] = TWO,
    annotations: Sequence[Any] = REGIONS,
    categories: Any = CATEGORIES,
    files: Sequence[str] = ("images/a.png", "images/b.png"),
    name: str = "default",
) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((WIDTH, HEIGHT)).convert("RGB").save(root / file)
    content = {"images": images, "annotations": annotations, "categories": categories}
    return put(root, json.dumps(content), name)


def put(root: Path, text: str | bytes, name: str = "default") -> Path:
    path = root / "annotations" / f"instances_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


OF_FEW_IMAGES = ("constant", "class_with_few_training_images", "class_on_every_training_image", "class_without_image")
"""What is said of every data set as small as these."""


def make(root: Path, bad: Any = "stop", **options: Any) -> tuple[Catalogue, GroundTruth, dict[str, str]]:
    places = root / "out" / "catalogue", root / "out" / "truth"
    settings = {"root": str(root), "splits": {"train": "default"}, **options}
    make_catalogue("coco", *places, settings, on_bad_image=bad)
    catalogue = Catalogue.load(places[0])
    notices = {notice.topic: notice.text for notice in read_notices(places[0]) if notice.topic not in OF_FEW_IMAGES}
    return catalogue, GroundTruth(catalogue, places[1]), notices


def refused(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        make(root, **options)
    message = str(caught.value)
    assert len(message) < 4000
    assert ".partial" not in message
    return message
