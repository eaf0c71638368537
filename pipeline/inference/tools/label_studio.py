"""Label Studio: tasks with predictions, which people correct, and the labelling interface that they belong to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pipeline.datasets.voc_colours import voc_palette
from pipeline.inference.tools.brush import packed
from pipeline.inference.tools.images import How, Images, LabelledImage
from pipeline.inference.tools.polygons import outlines
from pipeline.storage.whole import whole_file

FILE, INTERFACE = "label_studio.json", "labelling_interface.xml"
CONTROL, OBJECT = "label", "image"
"""Names in the labelling interface; predictions are shown only where they name the same."""
WEB = ("http://", "https://", "/data/")
"""Beginnings of addresses that servers unescape; s3:// and its like hold the names as they are."""


def write(images: Images, folder: Path, how: How) -> None:
    """Write ``folder/label_studio.json``, a task a line, and ``folder/labelling_interface.xml``."""
    with whole_file(folder / FILE, durable=False) as scratch, scratch.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, image in enumerate(images):
            file.write(",\n" if number else "\n")
            file.write(json.dumps(_task(image, how), ensure_ascii=False))
        file.write("\n]\n")
    with whole_file(folder / INTERFACE, durable=False) as scratch:
        scratch.write_text(_interface(how), encoding="utf-8")


def _task(image: LabelledImage, how: How) -> dict[str, Any]:
    height, width = image.size
    shared = {
        "from_name": CONTROL,
        "to_name": OBJECT,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
    }
    result = [{"id": f"{image.id}_{k}", **shared, **shape} for k, shape in enumerate(_shapes(image, how), 1)]
    prediction: dict[str, Any] = {"model_version": how.source, "result": result}
    if image.score is not None:
        prediction["score"] = round(image.score, 4)
    return {"data": {OBJECT: _address(how.url, image.name)}, "predictions": [prediction]}


def _address(url: str, name: str) -> str:
    """Where Label Studio finds an image. In an address of the web, its own server's included, signs are escaped."""
    escaped = url.lower().startswith(WEB)
    return f"{url}{quote(name, safe='/') if escaped else name}"


def _shapes(image: LabelledImage, how: How) -> Iterator[dict[str, Any]]:
    height, width = image.size
    for class_, region, score in image.regions():
        label = how.class_names[class_ - 1]
        sure = {} if score is None else {"score": score}
        if how.shapes == "masks":
            value: dict[str, Any] = {"format": "rle", "rle": packed(region), "brushlabels": [label]}
            yield {"type": "brushlabels", "value": value, **sure}
            continue
        for polygons in outlines(region, how.tolerance):
            for polygon in polygons:
                percents = (polygon * (100 / width, 100 / height)).round(6).tolist()
                value = {"points": percents, "closed": True, "polygonlabels": [label]}
                yield {"type": "polygonlabels", "value": value, **sure}


def _interface(how: How) -> str:
    view = Element("View")
    SubElement(view, "Image", name=OBJECT, value=f"${OBJECT}", zoom="true")
    labels = SubElement(view, "BrushLabels" if how.shapes == "masks" else "PolygonLabels", name=CONTROL, toName=OBJECT)
    for class_name, colour in zip(how.class_names, voc_palette()[1:], strict=False):
        SubElement(labels, "Label", value=class_name, background="#" + bytes(colour.tolist()).hex())
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
