"""The drawn scene as files of YOLO, COCO, Datumaro, Supervisely, Pascal VOC, LabelMe's XML; and all forms of it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers.drawn_scene import CLASSES, SCENE, Disc, Mark, area_pixels, png, runs, true_mask, vertices
from tests.helpers.hosted_files import darwin
from tests.helpers.tool_files import cvat, label_studio, labelme, via, via3


def yolo(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """YOLO's text with a data.yaml; ``form`` "roboflow" lays it out as train/labels and train/images."""
    labels = folder / ("train/labels" if form == "roboflow" else "labels")
    labels.mkdir(parents=True)
    (folder / "data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['cat', 'dog']\n")
    for id in ids:
        lines = []
        for mark in SCENE[id]:
            class_ = CLASSES.index(mark.name)
            if isinstance(mark, Mark) and mark.kind == "box":
                (x1, y1), (x2, y2) = mark.points
                middle = [(x1 + x2) / 192, (y1 + y2) / 128, (x2 - x1) / 96, (y2 - y1) / 64]
                lines.append(" ".join(map(str, [class_, *middle])))
            else:
                lines.append(" ".join(map(str, [class_, *(v for x, y in vertices(mark) for v in (x / 96, y / 64))])))
        (labels / f"{id}.txt").write_text("\n".join(lines))
    return folder


def coco(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """COCO's JSON; ``form`` "rle" writes areas as run lengths."""
    annotations: list[dict[str, Any]] = []
    for n, id in enumerate(ids):
        for mark in SCENE[id]:
            item: dict[str, Any] = {"id": len(annotations) + 1, "image_id": n + 5, "iscrowd": 0}
            item |= {"category_id": {"cat": 3, "dog": 8}[mark.name], **_coco(mark, form)}
            annotations.append(item)
    images = [{"id": n + 5, "file_name": f"{id}.png", "height": 64, "width": 96} for n, id in enumerate(ids)]
    categories = [{"id": 8, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 1, "name": "animals"}]
    path = folder / "_annotations.coco.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def _coco(mark: Mark | Disc, form: str) -> dict[str, Any]:
    if isinstance(mark, Mark) and mark.kind == "box":
        (x1, y1), (x2, y2) = mark.points
        return {"bbox": [x1, y1, x2 - x1, y2 - y1], "segmentation": []}
    if isinstance(mark, Mark) and mark.kind == "point":
        (point,) = mark.points
        return {"keypoints": [*point, 2, 0, 0, 0], "num_keypoints": 1, "bbox": [1, 2, 30, 40]}
    if form == "rle":
        return {"segmentation": {"counts": runs(area_pixels(mark).T), "size": [64, 96]}}
    return {"segmentation": [[value for point in vertices(mark) for value in point]]}


def datumaro(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """Datumaro's folder; ``form`` "mask" writes areas as run lengths."""
    items = []
    for id in ids:
        annotations = [
            {
                "id": k,
                "label_id": CLASSES.index(m.name),
                "group": 0,
                "z_order": 0,
                "attributes": {},
                **_datumaro(m, form),
            }
            for k, m in enumerate(SCENE[id])
        ]
        items.append({"id": id, "annotations": annotations, "image": {"path": f"{id}.png", "size": [64, 96]}})
    labels = [{"name": name, "parent": "", "attributes": []} for name in CLASSES]
    (folder / "annotations").mkdir()
    content = {"info": {}, "categories": {"label": {"labels": labels}}, "items": items}
    (folder / "annotations" / "train.json").write_text(json.dumps(content))
    return folder


def _datumaro(mark: Mark | Disc, form: str) -> dict[str, Any]:
    if isinstance(mark, Disc) or mark.kind == "area":
        if form == "mask":
            return {"type": "mask", "rle": {"counts": runs(area_pixels(mark).T), "size": [64, 96]}}
        return {"type": "polygon", "points": [value for point in vertices(mark) for value in point]}
    if mark.kind == "box":
        (x1, y1), (x2, y2) = mark.points
        return {"type": "bbox", "bbox": [x1, y1, x2 - x1, y2 - y1]}
    flat = [value for point in mark.points for value in point]
    return {"type": {"point": "points", "stroke": "polyline", "tag": "label"}[mark.kind], "points": flat}


def supervisely(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """Supervisely's folder; ``form`` "bitmap" writes areas as bitmaps."""
    ann = folder / "ds" / "ann"
    ann.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"classes": [{"title": name} for name in CLASSES], "tags": []}))
    for id in ids:
        objects = [{"classTitle": mark.name, "tags": [], **_supervisely(mark, form)} for mark in SCENE[id]]
        content = {"description": "", "tags": [], "size": {"height": 64, "width": 96}, "objects": objects}
        (ann / f"{id}.png.json").write_text(json.dumps(content))
    return folder


def _supervisely(mark: Mark | Disc, form: str) -> dict[str, Any]:
    if isinstance(mark, Disc) or mark.kind == "area":
        if form == "bitmap":
            packed = zlib.compress(png(area_pixels(mark)[5:, 4:]))
            bitmap = {"data": base64.b64encode(packed).decode(), "origin": [4, 5]}
            return {"geometryType": "bitmap", "bitmap": bitmap}
        return {"geometryType": "polygon", "points": {"exterior": [list(p) for p in vertices(mark)], "interior": []}}
    points = [list(point) for point in mark.points]
    if mark.kind == "box":
        points[1] = [points[1][0] - 1, points[1][1] - 1]
    kind = {"box": "rectangle", "point": "point", "stroke": "line"}[mark.kind]
    return {"geometryType": kind, "points": {"exterior": points, "interior": []}}


def voc(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """Pascal VOC's XML, or with ``form`` "masks" its masks of colours with a label map."""
    if form == "masks":
        masks = folder / "SegmentationClass"
        masks.mkdir()
        colours = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
        for id in ids:
            Image.fromarray(colours[true_mask(id)]).save(masks / f"{id}.png")
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "cat:250,50,83::", "dog:51,221,255::"]
        (folder / "labelmap.txt").write_text("\n".join(lines))
        return folder
    for id in ids:
        objects = ""
        for mark in SCENE[id]:
            (x1, y1), (x2, y2) = mark.points  # type: ignore[union-attr]
            box = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            objects += f"<object><name>{mark.name}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"
        size = "<size><width>96</width><height>64</height><depth>3</depth></size>"
        (folder / f"{id}.xml").write_text(f"<annotation><filename>{id}.png</filename>{size}{objects}</annotation>")
    return folder


def labelme_xml(folder: Path, ids: Sequence[str], form: str = "") -> Path:
    """LabelMe's XML, as CVAT and Datumaro write it; ``form`` "mask" has areas as files in Masks/."""
    for id in ids:
        objects = "".join(_labelme_xml(folder, f"{id}_mask_{k}.png", m, form) for k, m in enumerate(SCENE[id]))
        gone = _labelme_xml(folder, "", Mark("point", "cat", [(1, 1)]), "").replace("<deleted>0", "<deleted>1")
        size = "<imagesize><nrows>64</nrows><ncols>96</ncols></imagesize>"
        (folder / f"{id}.xml").write_text(
            f"<annotation><filename>{id}.png</filename><folder>x</folder>{size}{objects}{gone}</annotation>"
        )
    return folder


def _labelme_xml(folder: Path, name: str, mark: Mark | Disc, form: str) -> str:
    start = f"<object><name>{mark.name}</name><deleted>0</deleted><attributes>occluded=False</attributes>"
    if form == "mask":
        (folder / "Masks").mkdir(exist_ok=True)
        (folder / "Masks" / name).write_bytes(png(area_pixels(mark)))
        return f"{start}<segm><mask>{name}</mask></segm></object>"
    points, kind = vertices(mark), ""
    if isinstance(mark, Mark) and mark.kind == "box":
        (x1, y1), (x2, y2) = points
        points, kind = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], "<type>bounding_box</type>"
    listed = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points)
    return f"{start}{kind}<polygon>{listed}</polygon></object>"


Writer = Callable[[Path, Sequence[str], str], Path]
AREAS, ALL = ("q1", "q4"), tuple(SCENE)
NO_TAGS = tuple(id for id in SCENE if id != "q5")
FORMS: Mapping[str, tuple[Writer, str, Sequence[str]]] = {
    "cvat": (cvat, "", ALL),
    "cvat_masks": (cvat, "mask", AREAS),
    "labelme": (labelme, "", ALL),
    "labelme_masks": (labelme, "mask", AREAS),
    "label_studio": (label_studio, "", ALL),
    "label_studio_brush": (label_studio, "brush", AREAS),
    "label_studio_min": (label_studio, "min", ALL),
    "label_studio_csv": (label_studio, "csv", ALL),
    "via": (via, "", ALL),
    "via_project": (via, "project", ALL),
    "via_csv": (via, "csv", ALL),
    "via3": (via3, "", ALL),
    "via3_csv": (via3, "csv", ALL),
    "yolo": (yolo, "", ("q0", "q1", "q4")),
    "yolo_roboflow": (yolo, "roboflow", ("q0", "q1", "q4")),
    "coco": (coco, "", ("q0", "q1", "q2", "q4")),
    "coco_rle": (coco, "rle", AREAS),
    "datumaro": (datumaro, "", ALL),
    "datumaro_masks": (datumaro, "mask", AREAS),
    "supervisely": (supervisely, "", NO_TAGS),
    "supervisely_bitmaps": (supervisely, "bitmap", AREAS),
    "darwin": (darwin, "", ALL),
    "darwin_masks": (darwin, "mask", AREAS),
    "labelme_xml": (labelme_xml, "", ("q0", "q1", "q2", "q4")),
    "labelme_xml_masks": (labelme_xml, "mask", AREAS),
    "voc": (voc, "", ("q0",)),
    "voc_masks": (voc, "masks", AREAS),
}
"""Form -> its writer, which form of it, and the images that have a shape which it can hold."""
