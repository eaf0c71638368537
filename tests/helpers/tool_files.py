"""The drawn scene as the files of CVAT, LabelMe, Label Studio and VIA, by their documented formats."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from tests.helpers.drawn_scene import CLASSES, SCENE, Disc, Mark, Xy, area_pixels, brush_bytes, png, runs


def cvat(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """CVAT for images 1.1; ``form`` "mask" writes areas as masks."""
    items = "".join(
        f'<image id="{n}" name="{id}.png" width="96" height="64">{"".join(_cvat(m, form) for m in SCENE[id])}</image>'
        for n, id in enumerate(ids)
    )
    labels = "".join(f"<label><name>{name}</name><attributes/></label>" for name in CLASSES)
    meta = f"<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
    path = folder / "annotations.xml"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{meta}{items}</annotations>')
    return path


def _cvat(mark: Mark | Disc, form: str) -> str:
    start = f"label={quoteattr(mark.name)} source='manual' occluded='0' z_order='0'"
    if form == "mask" and (isinstance(mark, Disc) or mark.kind == "area"):
        region = area_pixels(mark)
        rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
        window = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        place = f"left='{columns[0]}' top='{rows[0]}' width='{window.shape[1]}' height='{window.shape[0]}'"
        return f"<mask {start} rle='{', '.join(map(str, runs(window)))}' {place}/>"
    if isinstance(mark, Disc):
        (x, y), r = mark.middle, mark.radius
        return f"<ellipse {start} cx='{x}' cy='{y}' rx='{r}' ry='{r}'/>"
    if mark.kind == "tag":
        return f"<tag label='{mark.name}' source='manual'/>"
    if mark.kind == "box":
        (x1, y1), (x2, y2) = mark.points
        return f"<box {start} xtl='{x1}' ytl='{y1}' xbr='{x2}' ybr='{y2}'><attribute name='age'>3</attribute></box>"
    tag = {"area": "polygon", "stroke": "polyline", "point": "points"}[mark.kind]
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in mark.points)
    return f"<{tag} {start} points='{points}'/>"


def labelme(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """LabelMe, a JSON for each image; ``form`` "mask" writes areas as masks."""
    for id in ids:
        shapes = [_labelme(mark, form) for mark in SCENE[id] if isinstance(mark, Disc) or mark.kind != "tag"]
        flags = {mark.name: True for mark in SCENE[id] if isinstance(mark, Mark) and mark.kind == "tag"}
        content = {
            "version": "5.5.0", "flags": {**flags, "blurred": False}, "shapes": shapes, "imageData": None,
            "imagePath": f"..\\images\\{id}.png", "imageHeight": 64, "imageWidth": 96,
        }  # fmt: skip
        (folder / f"{id}.json").write_text(json.dumps(content))
    return folder


def _labelme(mark: Mark | Disc, form: str) -> dict[str, Any]:
    more: dict[str, Any] = {"label": mark.name, "group_id": None, "flags": {}, "description": ""}
    if form == "mask" and (isinstance(mark, Disc) or mark.kind == "area"):
        region = area_pixels(mark)
        rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
        window = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
        return {**more, "shape_type": "mask", "points": corners, "mask": base64.b64encode(png(window)).decode()}
    if isinstance(mark, Disc):
        (x, y), r = mark.middle, mark.radius
        return {**more, "shape_type": "circle", "points": [[x, y], [x + r, y]]}
    kinds = {"box": "rectangle", "area": "polygon", "point": "point", "stroke": "linestrip"}
    kind = "line" if mark.kind == "stroke" and len(mark.points) == 2 else kinds[mark.kind]
    points = list(reversed(mark.points)) if mark.kind == "box" else mark.points  # any two corners, in any order
    return {**more, "shape_type": kind, "points": [list(point) for point in points]}


def label_studio(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """Label Studio's JSON; ``form`` "brush" has areas as brush masks, "min" and "csv" a line for each annotation."""
    tasks, lines = [], []
    for n, id in enumerate(ids):
        results = [_studio(mark, form) for mark in SCENE[id]]
        person = {"id": n, "completed_by": 1, "was_cancelled": False, "result": results}
        tasks.append(
            {"id": n, "data": {"image": f"/data/upload/1/{id}.png"}, "annotations": [person], "predictions": []}
        )
        line: dict[str, Any] = {"image": f"/data/upload/1/{id}.png", "id": n, "annotator": 1, "annotation_id": n}
        for result in results:
            size = {key: result[key] for key in ("original_width", "original_height")}
            if result["type"] == "choices":
                line["choice"] = result["value"]["choices"][0]
            else:
                line.setdefault(result["from_name"], []).append({**result["value"], **size})
        lines.append(line)
    if form == "csv":
        return _csv(folder / "task.csv", lines)
    path = folder / "project-1.json"
    path.write_text(json.dumps(lines if form == "min" else tasks))
    return path


def _csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(key for line in lines for key in line))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for line in lines:
            cells = [line.get(key, "") for key in columns]
            writer.writerow([json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in cells])
    return path


def _studio(mark: Mark | Disc, form: str) -> dict[str, Any]:
    around = {"original_width": 96, "original_height": 64, "image_rotation": 0, "to_name": "image", "id": "x1"}

    def result(kind: str, **value: Any) -> dict[str, Any]:
        return {**around, "type": kind, "from_name": kind[:4], "value": {**value, kind: [mark.name]}}

    def percent(points: Xy) -> list[list[float]]:
        return [[x / 0.96, y / 0.64] for x, y in points]

    if form == "brush" and (isinstance(mark, Disc) or mark.kind == "area"):
        return result("brushlabels", format="rle", rle=brush_bytes(area_pixels(mark)))
    if isinstance(mark, Disc):
        ((x, y),) = percent([mark.middle])
        return result("ellipselabels", x=x, y=y, radiusX=mark.radius / 0.96, radiusY=mark.radius / 0.64, rotation=0)
    points = percent(mark.points)
    if mark.kind == "tag":
        return result("choices")
    if mark.kind == "box":
        (x1, y1), (x2, y2) = points
        return result("rectanglelabels", x=x1, y=y1, width=x2 - x1, height=y2 - y1, rotation=0)
    if mark.kind == "area":
        return result("polygonlabels", points=points, closed=True)
    if mark.kind == "stroke":
        return result("vectorlabels", vertices=[{"x": x, "y": y, "isBezier": False} for x, y in points], closed=False)
    return result("keypointlabels", x=points[0][0], y=points[0][1], width=0.5)


def via(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """VIA 2; ``form`` "project" or "csv"."""
    images = {}
    for id in ids:
        tags = [mark.name for mark in SCENE[id] if isinstance(mark, Mark) and mark.kind == "tag"]
        regions = [
            {"shape_attributes": _via(mark), "region_attributes": {"class": mark.name, "note": "x"}}
            for mark in SCENE[id]
            if isinstance(mark, Disc) or mark.kind != "tag"
        ]
        attributes = {"class": tags[0], "caption": "a photo"} if tags else {"caption": ""}
        images[f"{id}.png99"] = {"filename": f"{id}.png", "size": 99, "regions": regions, "file_attributes": attributes}
    if form == "csv":
        return _via_csv(folder / "via_export.csv", images)
    path = folder / "via.json"
    project = {"_via_settings": {}, "_via_img_metadata": images, "_via_attributes": {}}
    path.write_text(json.dumps(project if form == "project" else images))
    return path


def _via(mark: Mark | Disc) -> dict[str, Any]:
    if isinstance(mark, Disc):
        return {"name": "circle", "cx": mark.middle[0], "cy": mark.middle[1], "r": mark.radius}
    if mark.kind == "box":
        (x1, y1), (x2, y2) = mark.points
        return {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
    if mark.kind == "point":
        return {"name": "point", "cx": mark.points[0][0], "cy": mark.points[0][1]}
    name = "polygon" if mark.kind == "area" else "polyline"
    return {"name": name, "all_points_x": [x for x, _ in mark.points], "all_points_y": [y for _, y in mark.points]}


def _via_csv(path: Path, images: Mapping[str, Mapping[str, Any]]) -> Path:
    lines = []
    for image in images.values():
        for number, region in enumerate(image["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]):
            region_cells = {"region_count": len(image["regions"]), "region_id": number}
            shape = {"region_shape_attributes": region["shape_attributes"]}
            start = {"filename": image["filename"], "file_size": 99, "file_attributes": image["file_attributes"]}
            lines.append({**start, **region_cells, **shape, "region_attributes": region["region_attributes"]})
    return _csv(path, lines)


def via3(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """VIA 3; ``form`` "csv"."""
    attributes = {
        "1": {"aname": "species", "anchor_id": "FILE1_Z0_XY1", "type": 4, "options": {"0": "cat", "1": "dog"}},
    }
    metadata, lines = {}, []
    for n, id in enumerate(ids, start=1):
        for k, mark in enumerate(SCENE[id]):
            av = {"1": str(CLASSES.index(mark.name))}
            metadata[f"{n}_{k}"] = {"vid": str(n), "flg": 0, "z": [], "xy": _via3(mark), "av": av}
            lines.append([f"{n}_{k}", [f"{id}.png"], 0, [], _via3(mark), av])
    if form == "csv":
        header = "metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata"
        rows = [",".join('"' + json.dumps(c).replace('"', '""') + '"' for c in line) for line in lines]
        start = [
            "# Exported using VGG Image Annotator",
            f"# ATTRIBUTE = {json.dumps(attributes)}",
            f"# CSV_HEADER = {header}",
        ]
        path = folder / "via3.csv"
        path.write_text("\n".join([*start, *rows]) + "\n")
        return path
    content = {
        "project": {"pname": "farm"}, "config": {}, "attribute": attributes, "metadata": metadata,
        "file": {str(n): {"fid": str(n), "fname": f"{id}.png", "type": 2} for n, id in enumerate(ids, start=1)},
        "view": {str(n): {"fid_list": [str(n)]} for n, _ in enumerate(ids, start=1)},
    }  # fmt: skip
    path = folder / "via3.json"
    path.write_text(json.dumps(content))
    return path


def _via3(mark: Mark | Disc) -> list[float]:
    if isinstance(mark, Disc):
        return [3, *mark.middle, mark.radius]
    if mark.kind == "box":
        (x1, y1), (x2, y2) = mark.points
        return [2, x1, y1, x2 - x1, y2 - y1]
    flat = [value for point in mark.points for value in point]
    number = {"point": 1, "area": 7, "stroke": 5 if len(flat) == 4 else 6}.get(mark.kind)
    return [] if number is None else [number, *flat]
