"""Find out which tool wrote a file or a folder, by its content, and read it. A new format is one line of a table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from models.errors import DataError
from pipeline.annotations.tools import (
    coco,
    cvat,
    darwin,
    datumaro,
    label_studio,
    labelme,
    labelme_xml,
    supervisely,
    via,
    via3,
    voc,
    yolo,
    yolo_files,
)
from pipeline.annotations.tools.drawn import Export
from pipeline.annotations.tools.values import mappings
from pipeline.datasets.coco_values import packed, without_regions
from pipeline.datasets.exports import EXPORTS, foreign_bytes, foreign_header, foreign_text, json_export
from pipeline.datasets.folder_images import files_below
from pipeline.datasets.regular import open_regular
from pipeline.datasets.tables import TableLine, cut, read_table, read_text
from pipeline.datasets.xml_files import EntitiesError, read_xml

TOOLS = {
    "cvat": "CVAT's XML",
    "labelme": "LabelMe's JSON",
    "labelme_xml": "LabelMe's XML",
    "label_studio": "Label Studio's export",
    "via": "VIA's regions",
    "via3": "VIA 3's project",
    "yolo": "YOLO's text files",
    "coco": "COCO's JSON",
    "datumaro": "Datumaro's JSON",
    "supervisely": "Supervisely's JSON",
    "darwin": "V7's Darwin JSON",
    "pascal": "Pascal VOC's XML",
    "pascal_masks": "Pascal VOC's masks",
}
"""Tools whose exports are read, and what a message calls them."""
JSON: dict[str, Callable[[Export, Path, Any], None]] = {
    "coco": coco.add,
    "labelme": labelme.add,
    "via": via.add,
    "via3": via3.add,
    "supervisely": supervisely.add,
    "darwin": darwin.add,
    "datumaro": datumaro.add,
    "label_studio": label_studio.add,
}
"""How a JSON is added to an export, by the key of :func:`json_tool`."""
SUFFIXES = (".json", ".xml", ".csv", ".tsv", ".txt", ".yaml", ".yml", ".labels", ".names")
MOST_FILES = 200_000
LABELMAPS = ("labelmap.txt", "dataset_meta.json")
MASK_FOLDERS = {"SegmentationClass": "**/*.png", "masks": "**/*.png", ".": "*.png"}
"""Folder of the masks -> what they are called there."""
META = "meta.json"
NOT_LABELS = (META, "tags.csv", "boxes.csv", "points.csv", *yolo_files.NAME_LISTS)


def read_exports(path: Path) -> dict[str, Export]:
    """Every export in a file, or in a folder and below it, by the key of :data:`TOOLS`; none where no tool is known.

    Files of one tool are one export, so that its classes are those of all files.

    Raises:
        DataError: ``path`` is a file of a tool, and is damaged. Below a folder such a file is a problem of its export.
    """
    return _Reading(path).exports


def json_tool(content: Any) -> str | None:
    """The key of the tool that wrote a JSON; None where none is known that is read here."""
    if isinstance(content, Mapping) and {"file", "metadata", "attribute"} <= content.keys():
        return "via3"
    known = json_export(content)
    if known is EXPORTS["coco"] and not _has_shapes_of_coco(content):
        return None
    return next((key for key in JSON if known is not None and EXPORTS.get(key) is known), None)


def _has_shapes_of_coco(content: Mapping[str, Any]) -> bool:
    """Not captions, panoptic masks, or DensePose-COCO, whose points have a reader of their own."""
    others = ("dp_I", "segments_info", "caption")
    return bool(content.get("categories")) and not any(
        key in item for item in mappings(content["annotations"]) for key in others
    )


def tool_of_file(path: Path) -> str | None:
    """The key of the tool that wrote a JSON file, of which no shape is read for it; None for any other file."""
    try:
        with open_regular(path) as opened:
            start = opened.read(4096).decode("utf-8-sig", "replace").lstrip()[:1]
        return (
            json_tool(json.loads(read_text(path, "JSON"), object_hook=without_regions)) if start in ("{", "[") else None
        )
    except (OSError, ValueError, RecursionError, DataError):
        return None  # whoever reads it says what is wrong with it


class _Reading:
    """One look at all files: each is parsed once."""

    def __init__(self, path: Path) -> None:
        self.path, self.exports, self._texts = path, dict[str, Export](), list[Path]()
        self._folder = path.is_dir()
        files = list(_files_below(path)) if self._folder else [path]
        if path.suffix.lower() in (".yaml", ".yml") and not self._folder:  # a data.yaml means what lies beside it
            files = list(_files_below(path.parent))
        for file in files:
            self._add(file)
        self._add_yolo(files)
        self._add_masks(files)
        for file in files:
            if file.name == META and "supervisely" in self.exports:
                self._added("supervisely", file, supervisely.declare, self._json(file) or {})

    def _export(self, tool: str) -> Export:
        return self.exports.setdefault(tool, Export(str(self.path), TOOLS[tool]))

    def _added(self, tool: str, file: Path, add: Callable[..., None], *content: Any) -> None:
        """Call a reader. What is so wrong that it stumbles is a problem of the export too."""
        export = self._export(tool)
        if file.name != META:
            export.files.append(file)
        try:
            add(export, *content)
        except DataError as error:
            export.problems.append(str(error))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            found = f"{type(error).__name__}: {cut(str(error))}"
            export.problems.append(f"{file}: expected {TOOLS[tool]}, found content of another form ({found}).")

    def _add(self, file: Path) -> None:
        try:
            with open_regular(file) as opened:
                head = opened.read(4096)
        except OSError:
            return
        if file.name in NOT_LABELS and self._folder:
            return
        start = head.decode("utf-8-sig", "replace").lstrip()
        if file.suffix.lower() == ".txt" and (not start or start[0] not in "{[<"):
            self._texts.append(file)
        elif start[:1] in ("{", "["):
            self._add_json(file)
        elif start[:1] == "<":
            self._add_xml(file)
        elif foreign_bytes(head) is None and file.suffix.lower() not in (".yaml", ".yml", ".labels"):
            self._add_table(file, re.split(r"[\r\n]", start, maxsplit=1)[0])

    def _json(self, file: Path) -> Any:
        try:
            return json.loads(read_text(file, "JSON"), object_hook=packed)
        except (ValueError, RecursionError) as error:
            if not self._folder:
                found = "lists within lists without end" if isinstance(error, RecursionError) else cut(str(error), 120)
                lines = foreign_text(file) or ""  # a JSON in each line is some tools' form
                other = lines if lines in map(str, EXPORTS.values()) else f"damaged JSON ({found})."
                raise DataError(f"{file}: expected an export of a labelling tool, found {other}") from None
            return None
        except DataError:
            if not self._folder:
                raise
            return None

    def _add_json(self, file: Path) -> None:
        content = self._json(file)
        tool = json_tool(content)
        if tool is not None:
            self._added(tool, file, JSON[tool], file, content)

    def _add_xml(self, file: Path) -> None:
        root = self._root(file)
        if root is not None and root.tag == "annotations":
            self._added("cvat", file, cvat.add, file, root)
        elif root is not None and root.tag == "annotation" and labelme_xml.is_labelme(root):
            self._added("labelme_xml", file, labelme_xml.add, file, root)
        elif root is not None and root.tag == "annotation":
            self._added("pascal", file, voc.add, file)

    def _root(self, file: Path) -> ElementTree.Element | None:
        """Of an XML; None for one that cannot be read, below a folder. Raises DataError: otherwise, or entities."""
        try:
            return read_xml(file, "XML of a labelling tool")
        except DataError as error:
            if self._folder and not isinstance(error, EntitiesError):
                return None
            raise

    def _add_table(self, file: Path, first: str) -> None:
        if first.startswith("# ") or "CSV_HEADER" in first:
            self._add_via3_table(file)
            return
        known = foreign_header(re.split(r"[,;\t]", first))
        if known == str(EXPORTS["via"]):
            header, rows = read_table(file, [], longest=None)
            plain = {name.lstrip("#").strip(): name for name in header}
            if {"filename", "region_shape_attributes", "region_attributes"} <= plain.keys():
                self._added("via", file, via.add_table, rows, plain)
        elif known == str(EXPORTS["label_studio"]):
            self._added("label_studio", file, label_studio.add_table, read_table(file, [], longest=None)[1])

    def _add_via3_table(self, file: Path) -> None:
        lines = read_text(file, "a CSV of VIA 3").splitlines()
        stated = {m[1]: m[2] for line in lines if (m := re.fullmatch(r"#\s*([A-Z_]+)\s*=\s*(.+)", line.strip()))}
        header = [name.strip() for name in stated.get("CSV_HEADER", "").split(",")]
        if not set(via3.HEADER) <= set(header):
            return
        rows = list(_csv_rows(file, lines, header))
        try:
            attributes = json.loads(stated.get("ATTRIBUTE", "{}"))
        except (ValueError, RecursionError):
            attributes = {}
        self._added("via3", file, via3.add_table, rows, via3.attributes_of(attributes))

    def _add_yolo(self, files: Sequence[Path]) -> None:
        """Texts of numbers; empty ones belong to them, where there are others."""
        texts = {file: lines for file in self._texts if (lines := read_lines(file)) is not None}
        labels = yolo_files.labels_among(texts)
        if labels:
            export = self._export("yolo")
            known = [*files, *yolo_files.beside(self.path if self._folder else self.path.parent)]
            names, stated = yolo_files.names_in(export, known), yolo_files.stated_form(known)
            form = stated or yolo_files.likely_form(labels.values())
            for file in sorted(labels):
                self._added("yolo", file, yolo.add, file, labels[file], names, form)
            export.names, export.numbered = list(names), not names
            if stated is None:
                yolo_files.note_assumed(export, form)

    def _add_masks(self, files: Sequence[Path]) -> None:
        """Masks of colours lie in a folder beside the file that says what the colours mean."""
        for file in files:
            if file.name.lower() not in LABELMAPS:
                continue
            for name, pattern in MASK_FOLDERS.items():
                folder = file.parent / name
                masks = sorted(folder.glob(pattern))
                if masks:
                    self._added("pascal_masks", file, voc.add_masks, file, folder, masks)
                    break


def read_lines(file: Path) -> list[str] | None:
    """Lines of a text file; None where it is no text."""
    try:
        return read_text(file, "text").splitlines()
    except DataError:
        return None


def _csv_rows(file: Path, lines: Sequence[str], header: Sequence[str]) -> Iterator[TableLine]:
    """Rows of a CSV without a header; lines that begin with # are none. Raises DataError for what is no CSV."""
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            try:
                cells = next(csv.reader([line]))
            except csv.Error as error:
                raise DataError(f"{file} line {number}: expected a row of VIA 3's CSV, found {error}.") from None
            if len(cells) == len(header):
                yield TableLine(f"{file} line {number}", dict(zip(header, cells, strict=True)))


def _files_below(folder: Path) -> Iterator[Path]:
    """Files that may be labels, in order; links are followed, each folder once.

    Raises:
        DataError: more than :data:`MOST_FILES`.
    """
    names = sorted(name for name in files_below(folder) if name.lower().endswith(SUFFIXES))
    if len(names) > MOST_FILES:
        raise DataError(f"{folder}: expected at most {MOST_FILES:,} files of labels, found {len(names):,}.")
    yield from (folder / name for name in names)
