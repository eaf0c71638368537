"""LabelMe's XML: a file for each image, as MIT's LabelMe wrote it and CVAT ("LabelMe 3.0") and Datumaro write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from pipeline.annotations.tools.drawn import Bitmap, DrawnImage, Export, Floats, Shape
from pipeline.annotations.tools.values import corners, number, picture, size_of, turned_box

ANNOTATIONS, MASKS = "Annotations", "Masks"
"""Folders of the XML files and of the masks that they name; some have the masks beside the XML files."""
BOX = "bounding_box"


def is_labelme(root: Element) -> bool:
    """Whether an ``<annotation>`` is LabelMe's and not Pascal VOC's."""
    return root.find("imagesize") is not None or (
        root.find("object/polygon") is not None and root.find("object/bndbox") is None
    )


def add(export: Export, path: Path, root: Element) -> None:
    """Add the image of a file. Objects that were deleted are left out; of the attributes the rotation is read."""
    size = size_of(root.findtext("imagesize/nrows"), root.findtext("imagesize/ncols"))
    name = (root.findtext("filename") or path.stem).strip()
    image = DrawnImage(f"{path.parent.as_posix()}/{name.rpartition('/')[2]}", str(path), size, also=name)
    export.images.append(image)
    for place, item in enumerate(root.iterfind("object"), start=1):
        where = f"{path} object {place}"
        if (item.findtext("deleted") or "0").strip() == "1":
            continue
        try:
            label = (item.findtext("name") or "").strip()
            if not label:
                raise ValueError("no name")
            image.shapes.append(_shape(item, label, where, path, size))
        except ValueError as error:
            export.problems.append(f"{where}: expected an object of LabelMe's XML, found {error}")


def _shape(item: Element, label: str, where: str, path: Path, size: tuple[int, int] | None) -> Shape:
    mask = item.findtext("segm/mask")
    if mask is not None:
        return Shape("area", label, where, bitmap=_bitmap(path, mask.strip(), size))
    points = _points(item)
    if (item.findtext("type") or "").strip() == BOX:
        box = corners(*points.min(axis=0), *points.max(axis=0))
        return Shape("box", label, where, turned_box(box, _rotation(item)))
    kind = {1: "point", 2: "stroke"}.get(len(points), "area")
    return Shape(kind, label, where, points)  # type: ignore[arg-type]


def _points(item: Element) -> Floats:
    given = [(number(point.findtext("x")), number(point.findtext("y"))) for point in item.iterfind("polygon/pt")]
    if not given:
        raise ValueError("neither a polygon nor a mask")
    return np.array(given, np.float64)


def _rotation(item: Element) -> float:
    """Degrees clockwise, out of "occluded=False, rotation=30"."""
    pairs = [part.partition("=") for part in (item.findtext("attributes") or "").split(",")]
    return next((number(value.strip()) % 360 for name, _, value in pairs if name.strip() == "rotation"), 0.0)


def _bitmap(path: Path, name: str, size: tuple[int, int] | None) -> Bitmap:
    for folder in _mask_folders(path):
        if (folder / name).is_file() and (folder / name).resolve().is_relative_to(folder.resolve()):
            return picture((folder / name).read_bytes, 0, 0, size)
    raise ValueError(f"mask '{name[:80]}', which is not in {next(iter(_mask_folders(path)))}")


def _mask_folders(path: Path) -> Iterator[Path]:
    """Where the masks of an XML may lie."""
    yield path.parent / MASKS
    parts = path.parent.parts
    for at in reversed([at for at, part in enumerate(parts) if part == ANNOTATIONS]):
        for end in range(len(parts), at, -1):  # a mask of an image in a folder may be named with it
            yield Path(*parts[:at], MASKS, *parts[at + 1 : end])
    yield path.parent
