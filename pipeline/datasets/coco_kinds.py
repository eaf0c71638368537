"""Files that people take for COCO's instances, each with the sentence that says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from models.errors import DataError
from pipeline.datasets.coco_values import short

LISTS = ("images", "annotations", "categories")
ARCHIVES = {b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive", b"7z\xbc\xaf": "a 7z archive"}
LOOK_AT = 50
"""Annotations that are looked at: a file is of one kind."""


def refuse_other_bytes(path: Path, data: bytes) -> None:
    """Raises DataError for an archive, a pointer of Git LFS, a page of a server or nothing."""
    start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    for magic, kind in ARCHIVES.items():
        if data.startswith(magic):
            _refuse(path, kind, "unpack it, and name the JSON in it")
    if not start:
        _refuse(path, f"an empty file ({len(data)} bytes)", "export or download it again")
    if start.startswith(b"version https://git-lfs"):
        _refuse(path, "a pointer of Git LFS", "fetch the file with `git lfs pull`")
    if start.startswith(b"<"):
        _refuse(path, "XML or a web page", "export or download it as COCO's JSON")


def refuse_other_kinds(path: Path, content: Any) -> None:
    """Raises DataError with one sentence where the JSON is of another kind than instances."""
    if not isinstance(content, Mapping):
        _refuse_no_mapping(path, content)
    lacking = [name for name in LISTS if not isinstance(content.get(name), list)]
    if lacking == ["annotations"] and "annotations" not in content:
        _refuse(
            path,
            f"a list of {len(content['images'])} images without annotations (an image_info file)",
            "name the file with `annotations`, or read images without labels with reader folder",
        )
    first = _first(content.get("annotations"))
    if any("segments_info" in entry for entry in first):
        _refuse(path, "a file of COCO panoptic", "take its instances_*.json, or its masks with reader folder")
    if first and all("caption" in entry and "category_id" not in entry for entry in first):
        _refuse(path, "a file of captions", "take the instances_*.json of the same images")
    if first and all("keypoints" in entry and not ("segmentation" in entry or "bbox" in entry) for entry in first):
        _refuse(path, "a file of keypoints without regions", "take the instances_*.json of the same images")
    if lacking:
        keys = ", ".join(short(key, 30) for key in list(content)[:8]) or "none"
        kind = {type(content.get(name)).__name__ for name in lacking if name in content}
        _refuse(
            path,
            f"no list `{'`, `'.join(lacking)}`"
            + (f" but {', '.join(sorted(kind))}" if kind else "")
            + f" (keys: {keys})",
            "export the annotations as COCO (instances or segmentation)",
        )
    for name in ("images", "categories"):
        if not content[name]:
            _refuse(
                path, f"an empty list `{name}`", "export the file again with its images, annotations and categories"
            )


def _refuse_no_mapping(path: Path, content: Any) -> NoReturn:
    first = _first(content)
    if first and all("image_id" in entry and ("score" in entry or "bbox" in entry) for entry in first):
        _refuse(
            path,
            f"a list of results, {len(content)} detections without images and categories",
            "name the file of the ground truth that they belong to",
        )
    kind = f"a JSON list of {len(content)} entries" if isinstance(content, list) else f"JSON of {short(content)}"
    _refuse(path, kind, "export the annotations as COCO (instances or segmentation)")


def _first(listed: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in listed[:LOOK_AT] if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _refuse(path: Path, found: str, remedy: str) -> NoReturn:
    raise DataError(
        f"{path}: expected COCO's annotations (lists images, annotations and categories), found {found}. "
        f"Remedy: {remedy}."
    )
