"""Names of the images in a JSON: as paths below the root, and as ids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

from pipeline.datasets.file_names import numbered

OFFICIAL = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d{12})", re.ASCII)
DRIVE = re.compile(r"^[A-Za-z]:")
LOCAL_FILES = "?d="
"""Label Studio's address of a file of its own machine: /data/local-files/?d=images/a.jpg."""


def plain_name(file_name: str) -> str:
    """A path with forward slashes that leads nowhere but down: no drive, server, "." or what stands before a ".."."""
    name = file_name.replace("\\", "/")
    if LOCAL_FILES in name:
        name = unquote(name.split(LOCAL_FILES, 1)[1])
    elif "://" in name:
        name = unquote(re.split(r"[?#]", name.split("://", 1)[1], maxsplit=1)[0])
    parts = [part for part in DRIVE.sub("", name).split("/") if part not in ("", ".")]
    last = max((place for place, part in enumerate(parts) if part == ".."), default=-1)
    return "/".join(parts[last + 1 :])


def id_of(path: str) -> str:
    """Twelve digits for COCO's own names, the stem for others."""
    stem = PurePosixPath(path).stem
    official = OFFICIAL.fullmatch(stem)
    return official[1] if official else stem


def ids_apart(paths: Iterable[str]) -> dict[str, str]:
    """Path to id. Where files share a stem they are told apart by their folders (cam_1_img), else by their suffix.

    Folders that all paths have in common are left out. Others than those that share a stem keep it as their id.
    """
    paths = list(dict.fromkeys(paths))
    stems = Counter(id_of(path) for path in paths)
    ids = {path: id_of(path) for path in paths if stems[id_of(path)] == 1}
    if len(ids) == len(paths):
        return ids
    parents = [PurePosixPath(path).parent.as_posix() for path in paths]
    common = os.path.commonpath(parents)
    wishes = {
        path: _wishes(path, os.path.relpath(parent, common))
        for path, parent in zip(paths, parents, strict=True)
        if path not in ids
    }
    wished = Counter(name for names in wishes.values() for name in dict.fromkeys(names))
    taken = set(ids.values()) | set(stems)
    for path, names in wishes.items():
        name = next((name for name in names if wished[name] == 1 and name not in taken), names[-1])
        ids[path] = numbered(name, taken)
        taken.add(ids[path])
    return {path: ids[path] for path in paths}


def _wishes(path: str, folder: str) -> list[str]:
    """With the folders, with the suffix, with both."""
    stem, suffix = id_of(path), PurePosixPath(path).suffix.removeprefix(".")
    folders = [part for part in folder.split("/") if part != "."]
    return ["_".join([*folders, stem]), f"{stem}_{suffix}", "_".join([*folders, stem, suffix])]
