"""LabelMe: a JSON file for each image, which names it relative to itself."""

from __future__ import annotations

import io
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.ops.run_lengths import Region
from pipeline.inference.tools.images import How, Images, LabelledImage
from pipeline.inference.tools.polygons import outlines
from pipeline.storage.whole import whole_file

VERSION = "5.5.0"
"""Of the first LabelMe whose own conversions read shapes of the type "mask"."""


def write(images: Images, folder: Path, how: How) -> None:
    """Write ``folder/ID.json``: polygons, grouped where pieces are cut, or a mask for each class (LabelMe 5.4 on)."""
    for image in images:
        height, width = image.size
        path = folder / f"{image.id}.json"
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": list(_shapes(image, how)),
            "imagePath": Path(os.path.relpath(image.path, path.parent)).as_posix(),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, durable=False) as scratch:
            scratch.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _shapes(image: LabelledImage, how: How) -> Iterator[dict[str, Any]]:
    groups = count(1)
    for class_, region, score in image.regions():
        shared = {"label": how.class_names[class_ - 1], "flags": {}}
        shared["description"] = "" if score is None else f"score {score:.4f}"
        if how.shapes == "masks":
            yield {**shared, **_mask(region), "group_id": None}
            continue
        for polygons in outlines(region, how.tolerance):
            group = next(groups) if len(polygons) > 1 else None
            for polygon in polygons:
                yield {**shared, "shape_type": "polygon", "points": polygon.tolist(), "group_id": group, "mask": None}


def _mask(region: Region) -> dict[str, Any]:
    """The rectangle of a region, its last row and column included, and what is in it as a PNG of 0 and 1."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    top, left, bottom, right = (int(at) for at in (rows[0], columns[0], rows[-1], columns[-1]))
    file = io.BytesIO()
    Image.fromarray(region[top : bottom + 1, left : right + 1].astype(np.uint8)).save(file, format="PNG")
    corners = [[float(left), float(top)], [float(right), float(bottom)]]
    return {"shape_type": "mask", "points": corners, "mask": b64encode(file.getvalue()).decode("ascii")}
