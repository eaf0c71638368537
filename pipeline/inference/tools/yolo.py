"""YOLO's segmentation files: data.yaml, a list of images, and a text file of polygons for each image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from pipeline.inference.tools.images import How, Images, LabelledImage
from pipeline.inference.tools.polygons import outlines
from pipeline.storage.whole import whole_file

FILE = "data.yaml"


def write(images: Images, folder: Path, how: How) -> None:
    """Write ``folder/data.yaml``, ``SPLIT.txt`` and ``labels/SPLIT/ID.txt``, a polygon a line.

    Images belong into ``folder/images/SPLIT``; they are not copied.
    """
    names = []
    for image in images:
        names.append(f"./images/{how.split}/{image.id}{image.path.suffix}")
        _put(folder / "labels" / how.split / f"{image.id}.txt", "".join(f"{line}\n" for line in _lines(image, how)))
    _put(folder / f"{how.split}.txt", "".join(f"{name}\n" for name in names))
    names_by_number = dict(enumerate(how.class_names))
    content = {"path": ".", how.split: f"{how.split}.txt", "task": "segment", "names": names_by_number}
    _put(folder / FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _lines(image: LabelledImage, how: How) -> Iterator[str]:
    """Class from 0, then x and y as shares of width and height."""
    height, width = image.size
    for class_, region, _ in image.regions():
        for polygons in outlines(region, how.tolerance):
            for polygon in polygons:
                numbers = (polygon / (width, height)).ravel().tolist()
                yield " ".join([str(class_ - 1), *(f"{number:.6f}" for number in numbers)])


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, durable=False) as scratch:
        scratch.write_text(text, encoding="utf-8")
