"""Files of labelling tools that are not read here: how to recognise them, and what to export instead.

A new format is one line of ``EXPORTS`` and one of the tests below it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from pipeline.datasets.regular import open_regular

LOOKED = 2000
"""Files of a folder that are looked at."""
NOT_OPENED = 64 * 2**20
"""Bytes of a file that is opened only to name it."""


@dataclass(frozen=True)
class Export:
    """A format by the name of its tool, and how its user gets one that is read."""

    name: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}. Remedy: {self.remedy}."


_TABLE = "a CSV with columns image, class, x1, y1, x2, y2 in pixels"
EXPORTS: dict[str, Export] = {
    "cvat": Export("CVAT's own XML", "export the task as 'PASCAL VOC 1.1' or 'COCO 1.0'"),
    "labelme": Export("LabelMe's JSON", "convert it with LabelMe's labelme2voc.py (Pascal VOC) or to COCO"),
    "yolo": Export(
        "YOLO's text (class numbers and shares of the image)", f"export as Pascal VOC or COCO, or write {_TABLE}"
    ),
    "via": Export("a file of VIA (VGG Image Annotator)", "in VIA, choose Annotation > Export Annotations (COCO)"),
    "label_studio": Export("an export of Label Studio", "export as 'COCO' or 'Pascal VOC XML'"),
    "createml": Export("CreateML's JSON", "export as Pascal VOC or COCO"),
    "supervisely": Export("Supervisely's JSON", "export as Pascal VOC or COCO"),
    "labelbox": Export("an export of Labelbox", f"convert it to COCO (FiftyOne reads it), or write {_TABLE}"),
    "kili": Export("Kili's JSON", "export as COCO, YOLO or Pascal VOC"),
    "encord": Export("Encord's JSON", "export as COCO"),
    "scale": Export("Scale's tasks", f"convert them to COCO, or write {_TABLE}"),
    "superannotate": Export("SuperAnnotate's JSON", "export as COCO"),
    "ground_truth": Export("a manifest of SageMaker Ground Truth", f"convert it to COCO, or write {_TABLE}"),
    "roboflow_masks": Export("Roboflow's masks with _classes.csv", "export as 'COCO Segmentation'"),
    "brush_images": Export(
        "brush masks of Label Studio without the names of their images", "export as JSON, which has the brushes too"
    ),
    "labelme_xml": Export("LabelMe's XML", "it is read by `kind: shapes`"),
    "vott": Export("VoTT's JSON", "export as Pascal VOC"),
    "datumaro": Export("Datumaro's JSON", "convert it with `datum convert -f voc` or `-f coco`"),
    "darwin": Export("V7 Darwin's JSON", "it is read by `kind: shapes`"),
    "darwin_1": Export("V7 Darwin's JSON 1.0", "export as Darwin JSON 2.0, COCO or Pascal VOC"),
    "geojson": Export("GeoJSON", f"export as COCO, or write {_TABLE}"),
    "dlib": Export("dlib's XML", f"export as Pascal VOC, or write {_TABLE}"),
    "coco": Export("COCO's JSON", "boxes are read from it: write `kind: boxes`"),
    "coco_results": Export("COCO's JSON of results (detections)", "name the file of annotations (instances_*.json)"),
    "whats_the_point": Export("the JSON of What's the Point", "it has points: write `kind: points`"),
    "pascal": Export("Pascal VOC's XML", "name the folder of the XML files as `file:`, with `kind: boxes`"),
}

_FIRST_CORNER = ({"x", "y"}, {"x1", "y1"}, {"xmin", "ymin"}, {"x_min", "y_min"}, {"left", "top"})
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook. Remedy: unpack it, or save the sheet as CSV (UTF-8)."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Remedy: save the sheet as CSV (UTF-8)."),
    (b"\x1f\x8b", "a gzip archive. Remedy: unpack it."),
    (b"7z\xbc\xaf", "a 7-Zip archive. Remedy: unpack it."),
    (b"Rar!", "a RAR archive. Remedy: unpack it."),
    (b"\x89PNG", "an image (PNG)."),
    (b"\xff\xd8\xff", "an image (JPEG)."),
    (b"II*\0", "an image (TIFF)."),
    (b"MM\0*", "an image (TIFF)."),
    (b"%PDF", "a PDF."),
    (b"PAR1", "a Parquet file. Remedy: save it as CSV."),
    (b"SQLite format 3", "a SQLite database. Remedy: save the table as CSV."),
    (b"\x89HDF", "an HDF5 file. Remedy: save it as CSV."),
    (b"\x93NUMPY", "a NumPy file. Remedy: save it as CSV."),
    (b"\xff\xfe", "UTF-16 text. Remedy: save the file as UTF-8."),
    (b"\xfe\xff", "UTF-16 text. Remedy: save the file as UTF-8."),
)


def with_remedy(text: str, remedy: str) -> str:
    """A text that names one of the exports, with another remedy: what is not boxes is read from other formats."""
    named = next((export for export in EXPORTS.values() if str(export) in text), None)
    if named is None or named in (EXPORTS["coco"], EXPORTS["whats_the_point"], EXPORTS["pascal"]):
        return text
    return text.replace(str(named), str(Export(named.name, remedy)))


def foreign_bytes(head: bytes) -> str | None:
    """What the first bytes of a file say that it is, with the remedy; None where it may be text."""
    for mark, what in _MAGIC:
        if head.startswith(mark):
            return what
    if b"\0" in head:
        return "a binary file, or UTF-16 text. Remedy: save the file as UTF-8."
    return None


def json_export(content: Any) -> Export | None:
    """Of which tool a JSON is, by its content."""
    export = _first(_JSON_OF_MAPPING if isinstance(content, Mapping) else _JSON_OF_LIST, content)
    return EXPORTS[export] if export else None


def foreign_xml(root: Element) -> str:
    """What an XML is that is not VOC's, with the remedy."""
    if root.tag == "annotations":
        return str(EXPORTS["cvat"])
    if root.tag == "dataset" and root.find("images") is not None:
        return str(EXPORTS["dlib"])
    return f"XML of <{root.tag[:40]}> and not of <annotation>."


def foreign_header(columns: Sequence[str]) -> str | None:
    """Of which tool a table is, by its header; None where no tool is known."""
    names = {name.strip().strip('"#').casefold() for name in columns}
    if {"region_shape_attributes"} <= names or {"shape_attributes"} <= names or "spatial_coordinates" in names:
        return str(EXPORTS["via"])
    if {"pixel value", "class"} <= names:
        return str(EXPORTS["roboflow_masks"])
    if {"annotator", "annotation_id"} <= names or {"annotation_id", "lead_time"} & names:
        return str(EXPORTS["label_studio"])
    if {"labelname", "xmin", "xmax"} <= names:
        return "OpenImages' table, whose corners are shares of the image. Remedy: multiply them by width and height."
    corner = any(pair <= names for pair in _FIRST_CORNER)
    if corner and ({"width", "height"} <= names or {"w", "h"} <= names):
        return "a table of x, y, width, height. Remedy: write columns x2 = x + width and y2 = y + height."
    if "bbox" in names:
        return "a table with a box in one column. Remedy: write a column for each of x1, y1, x2, y2."
    words = columns[0].split() if len(columns) == 1 else []
    if len(words) >= 5 and all(_is_number(word) for word in words):
        return str(EXPORTS["yolo"])
    if any(_is_number(name) for name in columns):
        return "a table without a header. Remedy: write the names of the columns into its first line."
    return None


def foreign_folder(folder: Path) -> str | None:
    """What a folder holds, by one file of each kind, with the remedy; None where nothing in it is known."""
    with os.scandir(folder) as entries:
        there = sorted(Path(entry.path) for entry in islice(entries, LOOKED))
    by_suffix: dict[str, Path] = {}
    for path in there:
        if path.is_file() and path.name not in _NO_LABELS:
            by_suffix.setdefault(path.suffix.lower(), path)
    for suffix, look in _OF_FILES.items():
        if suffix in by_suffix and (export := look(by_suffix[suffix])):
            return f"{by_suffix[suffix].name} and its like: {export}"
    below = [path for path in there if path.is_dir() and _holds(path, (".xml", ".txt", ".json", ".png"))]
    if below and not by_suffix:
        return f"files in {below[0].name}/. Remedy: name that folder."
    return None


def foreign_text(path: Path) -> str | None:
    """What a text file is, by its first line: JSON, XML, or a table of a known tool."""
    try:
        with open_regular(path) as file:
            head = file.read(4096)
            rest = file.read(NOT_OPENED) if head.lstrip()[:1] in (b"{", b"[") else b""
    except OSError:
        return None
    if export := foreign_bytes(head):
        return export
    start = head.decode("utf-8-sig", "replace").lstrip()
    if start[:1] in ("{", "["):
        return str(_json(head + rest) or "JSON of a kind that is not known here.")
    if start.startswith("<"):
        return _xml_text(start)
    return foreign_header(re.split(r"[\r\n]", start, maxsplit=1)[0].split(","))


def _xml_text(start: str) -> str:
    """An XML by its first 4 kB, so that nothing of it is parsed only to name it."""
    tag = re.search(r"<([A-Za-z][\w:.-]*)", start)
    if tag is not None and tag[1] == "annotation":
        return str(EXPORTS["labelme_xml" if "<imagesize" in start or "<pt>" in start else "pascal"])
    if tag is not None and tag[1] == "dataset" and "<images" in start:
        return str(EXPORTS["dlib"])
    return foreign_xml(Element(tag[1])) if tag is not None else "XML."


def _json(text: bytes) -> Export | None:
    """By all of it, or by the first line where each line is a JSON of its own."""
    for part in (text, text.split(b"\n", 1)[0]):
        try:
            return json_export(json.loads(part))
        except (ValueError, RecursionError):
            continue
    return None


def _first(tests: Mapping[str, Callable[[Any], bool]], content: Any) -> str | None:
    return next((name for name, test in tests.items() if test(content)), None)


def _items(content: Any) -> list[Mapping[str, Any]]:
    """The first items of a list or values of a mapping that are mappings themselves."""
    values = content.values() if isinstance(content, Mapping) else content if isinstance(content, list) else ()
    return [item for item in islice(values, 20) if isinstance(item, Mapping)]


def _any_has(*keys: str) -> Callable[[Any], bool]:
    return lambda content: any(all(key in item for key in keys) for item in _items(content))


def _has(*keys: str) -> Callable[[Any], bool]:
    return lambda content: all(key in content for key in keys)


_JSON_OF_MAPPING: dict[str, Callable[[Any], bool]] = {
    "coco": lambda content: _has("images", "annotations")(content) and isinstance(content["annotations"], list),
    "labelme": _has("shapes", "imagePath"),
    "via": lambda content: _has("_via_img_metadata")(content) or _any_has("filename", "regions")(content),
    "supervisely": lambda content: (
        _has("objects", "size")(content)
        and (_any_has("classTitle")(content["objects"]) or _has("tags", "description")(content))
    ),
    "vott": lambda content: _has("asset", "regions")(content) or _has("assets", "tags")(content),
    "darwin": _has("item", "annotations"),
    "darwin_1": _has("image", "annotations", "dataset"),
    "datumaro": _has("items", "categories"),
    "labelbox": _has("data_row"),
    "encord": _has("label_hash", "data_units"),
    "kili": _has("externalId", "labels"),
    "scale": _has("task_id", "response"),
    "superannotate": lambda content: _has("metadata", "instances")(content) or _has("___objects")(content),
    "ground_truth": _has("source-ref"),
    "geojson": lambda content: content.get("type") == "FeatureCollection",
    "whats_the_point": _any_has("main"),
}
_JSON_OF_LIST: dict[str, Callable[[Any], bool]] = {
    "coco_results": _any_has("image_id", "category_id", "score"),
    "labelbox": lambda content: _any_has("data_row")(content) or _any_has("Labeled Data")(content),
    "encord": _any_has("label_hash", "data_units"),
    "kili": _any_has("externalId", "labels"),
    "scale": _any_has("task_id", "response"),
    "createml": lambda content: any(_any_has("coordinates")(item.get("annotations")) for item in _items(content)),
    "label_studio": lambda content: (
        any(_any_has("data", key)(content) for key in ("annotations", "completions", "predictions"))
        or _any_has("annotator", "annotation_id")(content)
    ),
    "geojson": _any_has("geometry", "properties"),
}

_NO_LABELS = ("classes.txt", "notes.json", "obj.names", "obj.data", "train.txt", "val.txt", "test.txt", "README.txt")


_BRUSH = re.compile(r"task-\d+-annotation-\d+-by-")


def _text_file(path: Path) -> str | None:
    """An empty file is an image without objects."""
    for other in [one for one in sorted(path.parent.glob("*.txt"))[:20] if one.is_file()]:
        with other.open("rb") as file:
            words = file.readline(4096).decode("utf-8", "replace").split()
        if len(words) >= 5 and all(_is_number(word) for word in words):
            return str(EXPORTS["yolo"])
    return None


def _table_file(path: Path) -> str:
    return foreign_text(path) or "a table. Remedy: name that file itself as `file:`."


_OF_FILES: dict[str, Callable[[Path], str | None]] = {
    ".json": foreign_text,
    ".xml": foreign_text,
    ".txt": _text_file,
    ".csv": _table_file,
    ".ndjson": foreign_text,
    ".jsonl": foreign_text,
    ".manifest": foreign_text,
    ".zip": lambda path: "a ZIP archive. Remedy: unpack it.",
    ".png": lambda path: str(EXPORTS["brush_images"]) if _BRUSH.match(path.name) else None,
}


def _holds(folder: Path, suffixes: tuple[str, ...]) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(suffixes) for entry in islice(entries, LOOKED))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
