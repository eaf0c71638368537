"""CVAT for images 1.1: one XML file (docs.cvat.ai, "XML annotation format")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TextIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from models.ops.run_lengths import Region, runs_of
from pipeline.datasets.voc_colours import voc_palette
from pipeline.inference.tools.images import How, Images, LabelledImage
from pipeline.inference.tools.polygons import outlines
from pipeline.storage.whole import whole_file

FILE = "annotations.xml"


def write(images: Images, folder: Path, how: How) -> None:
    """Write ``folder/annotations.xml``: a mask for each class, or polygons, grouped where a piece is cut."""
    with whole_file(folder / FILE, durable=False) as scratch, scratch.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        _put(file, _version())
        _put(file, _meta(how, len(images)))
        for number, image in enumerate(images):
            _put(file, _image(image, number, how))
        file.write("</annotations>\n")


def _put(file: TextIO, element: Element) -> None:
    ElementTree.indent(element, level=1)
    file.write(f"  {ElementTree.tostring(element, encoding='unicode').rstrip()}\n")


def _version() -> Element:
    version = Element("version")
    version.text = "1.1"
    return version


def _meta(how: How, size: int) -> Element:
    meta = Element("meta")
    task = SubElement(meta, "task")
    for tag, text in (("name", how.source), ("size", str(size)), ("mode", "annotation")):
        SubElement(task, tag).text = text
    labels = SubElement(task, "labels")
    for class_name, colour in zip(how.class_names, voc_palette()[1:], strict=False):
        label = SubElement(labels, "label")
        hexadecimal = "#" + bytes(colour.tolist()).hex()
        for tag, text in (("name", class_name), ("color", hexadecimal), ("type", "any")):
            SubElement(label, tag).text = text
        SubElement(label, "attributes")
    return meta


def _image(image: LabelledImage, number: int, how: How) -> Element:
    height, width = image.size
    element = Element("image", id=str(number), name=image.name, width=str(width), height=str(height))
    groups = count(1)
    for class_, region, _ in image.regions():
        shared = {"label": how.class_names[class_ - 1], "source": "auto", "occluded": "0", "z_order": "0"}
        shapes = [_mask(region)] if how.shapes == "masks" else _polygons(region, how.tolerance, groups)
        for tag, attributes in shapes:
            SubElement(element, tag, {**shared, **attributes})
    return element


def _mask(region: Region) -> tuple[str, dict[str, str]]:
    """Runs of 0 and 1 in turn, along the rows of the region's rectangle."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    runs = runs_of(region[top:bottom, left:right].T)
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    return "mask", {"rle": ", ".join(map(str, runs.tolist())), **{key: str(value) for key, value in place.items()}}


def _polygons(region: Region, tolerance: float, groups: Iterator[int]) -> Iterator[tuple[str, dict[str, str]]]:
    """Polygons of one piece are a group of the image."""
    for polygons in outlines(region, tolerance):
        group = {"group_id": str(next(groups))} if len(polygons) > 1 else {}
        for polygon in polygons:
            yield "polygon", {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in polygon.tolist()), **group}
