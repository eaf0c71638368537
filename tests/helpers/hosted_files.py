"""The drawn scene as the exports of hosted tools, by their documented formats: V7's Darwin JSON, Roboflow's COCO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.helpers.drawn_scene import CLASSES, SCENE, SIZE, Disc, Mark, Xy, area_pixels, vertices

ROBOFLOW = "_png.rf.0123456789abcdef0123456789abcdef"
"""What Roboflow adds to the name of q0.png."""


def darwin(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """Darwin JSON 2.0, a file for each image; ``form`` "mask" has areas in a raster layer."""
    for id in ids:
        annotations = [_darwin(mark, f"{id}-{k}", form) for k, mark in enumerate(SCENE[id])]
        if form == "mask":
            annotations.append(_raster(id))
        slot = {"type": "image", "slot_name": "0", "width": SIZE[1], "height": SIZE[0], "source_files": []}
        item = {"name": f"{id}.png", "path": "/", "slots": [slot]}
        content = {"version": "2.0", "schema_ref": "x", "item": item, "annotations": annotations}
        (folder / f"{id}.json").write_text(json.dumps(content))
    return folder


def _darwin(mark: Mark | Disc, id: str, form: str) -> dict[str, Any]:
    around: dict[str, Any] = {"id": id, "name": mark.name, "properties": [], "slot_names": ["0"]}
    if isinstance(mark, Mark) and mark.kind == "tag":
        return {**around, "tag": {}}
    if isinstance(mark, Disc) or mark.kind == "area":
        outline = vertices(mark)
        box = {"bounding_box": _box(outline)}
        return {**around, **box, **({"mask": {}} if form == "mask" else {"polygon": {"paths": [_path(outline)]}})}
    if mark.kind == "box":
        return {**around, "bounding_box": _box(mark.points)}
    if mark.kind == "stroke":
        return {**around, "line": {"path": _path(mark.points)}}
    return {**around, "keypoint": _path(mark.points)[0]}


def _raster(id: str) -> dict[str, Any]:
    values = np.zeros(SIZE, np.int64)
    for number, mark in enumerate(SCENE[id], start=1):
        values[area_pixels(mark)] = number
    numbers = {f"{id}-{k}": k + 1 for k in range(len(SCENE[id]))}
    layer = {"dense_rle": dense_runs(values), "mask_annotation_ids_mapping": numbers, "total_pixels": values.size}
    return {"id": f"{id}-raster", "name": "__raster_layer__", "raster_layer": layer, "slot_names": ["0"]}


def dense_runs(values: npt.NDArray[np.int64]) -> list[int]:
    """(value, count) in turn, row by row."""
    flat = values.reshape(-1)
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    starts = [0, *ends[:-1]]
    return [number for a, b in zip(starts, ends, strict=True) for number in (int(flat[a]), b - a)]


def _path(points: Xy) -> list[dict[str, float]]:
    return [{"x": float(x), "y": float(y)} for x, y in points]


def _box(points: Xy) -> dict[str, float]:
    (x1, y1), (x2, y2) = np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()
    return {"x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1}


def roboflow_coco(folder: Path, ids: Sequence[str]) -> Path:
    """Roboflow's COCO: a folder for each split, one category for the project, and texts beside."""
    categories = [{"id": 0, "name": "animals-xyz", "supercategory": "none"}]
    categories += [{"id": n, "name": name, "supercategory": "animals-xyz"} for n, name in enumerate(CLASSES, start=1)]
    for split, id in zip(("train", "valid", "test"), ids, strict=True):
        (folder / split).mkdir(parents=True)
        name = f"{id}{ROBOFLOW}.jpg"
        image = {"id": 0, "license": 1, "file_name": name, "height": SIZE[0], "width": SIZE[1], "extra": {"name": id}}
        annotations = [
            {"id": n, "image_id": 0, "category_id": CLASSES.index(mark.name) + 1, "iscrowd": 0, **_coco(mark)}
            for n, mark in enumerate(SCENE[id])
        ]
        content = {"info": {}, "licenses": [], "categories": categories, "images": [image], "annotations": annotations}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
    (folder / "README.roboflow.txt").write_text("\nanimals - v1\n\nThe dataset includes 3 images.\n1 2 3\n")
    (folder / "README.dataset.txt").write_text("# animals > 2024\n")
    return folder


def _coco(mark: Mark | Disc) -> dict[str, Any]:
    box = _box(vertices(mark))
    flat = [value for point in vertices(mark) for value in point]
    is_box = isinstance(mark, Mark) and mark.kind == "box"
    return {"bbox": [box[key] for key in "xywh"], "segmentation": [] if is_box else [flat], "area": 1}
