"""Exports of labelling tools in a user's folder: which there are, and what they mean for a book."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import DataError
from pipeline.annotations.tools.drawn import Export
from pipeline.annotations.tools.reading import TOOLS, read_exports
from pipeline.datasets.exports import EXPORTS, foreign_folder, foreign_text
from pipeline.datasets.file_names import nfc
from pipeline.datasets.folder_images import is_unseen
from pipeline.datasets.labelmap import BACKGROUNDS, VOIDS
from pipeline.new_book.layout import MASKS, images_folder, split_folders
from pipeline.problems.notices import first_of

LABEL_OPTIONS = ("annotators", "unannotated", "brush", "crowds")
"""Of ``kind: shapes``: what an export does not say by itself."""
UP = 2
"""Folders above a file in which its images are looked for."""


@dataclass(frozen=True)
class ToolExport:
    """One export.

    Attributes:
        name: what a book calls it: "cvat".
        path: of its file, or of the folder of its files, relative to the data's folder.
        export: what it says.
    """

    name: str
    path: str
    export: Export


def located(data: Path) -> tuple[Path, Path | None]:
    """The folder of images that ``data`` means, and the export, where ``data`` is the file of one.

    Raises:
        DataError: a file, and no images in its folder or above.
    """
    if not data.is_file():
        return data, None
    above = [data.absolute().parent, *data.absolute().parents[1 : UP + 1]]
    for folder in above:
        if has_images(folder):
            return folder, data
    raise DataError(
        f"{data}: expected images beside the export, in {above[0]}, in a folder there, or up to {UP} folders above; "
        "found none. Remedy: put them into images/ beside it."
    )


def has_images(folder: Path) -> bool:
    """Whether a folder has images where ``init`` looks for them."""
    try:
        return bool(split_folders(folder)) or bool(images_folder(folder))
    except DataError:
        return False


def exports_in(data: Path, file: Path | None = None) -> list[ToolExport]:
    """The exports in a folder, or the one in a file; ones without any shape, or among files of others, are none.

    Raises:
        DataError: the file is no export, or damaged.
    """
    found = read_exports(file or data)
    good = {tool: export for tool, export in found.items() if export.counts() or export.problems}
    there = [
        ToolExport(tool, _relative(export.place, data), export)
        for tool, export in good.items()
        if not any(_lies_in(other, export.place) for other in good.values() if other is not export)
        and (file is not None or not _is_measured(export, data))
    ]
    if file is not None and not there:
        other = "; ".join(map(_without_shape, found.values())) or foreign_text(file) or "none that is known."
        raise DataError(f"{file}: expected an export of a labelling tool with shapes, found {other}")
    return there


def _is_measured(export: Export, data: Path) -> bool:
    """Whether it is of the folder of masks, which are measured against, and taught by nobody who does not name them."""
    places = [export.place, *(Path(image.where) for image in export.images[:1])]
    return any(place.is_relative_to(data / MASKS) for place in places)


def _without_shape(export: Export) -> str:
    left_out = ", ".join(f"{what} ({count})" for what, count in export.left_out.items())
    return f"{export}{f', and what is no label: {left_out}' if left_out else ''}."


def exported_classes(exports: Sequence[ToolExport]) -> list[str]:
    """Names of classes of all exports: the first one's in its order, then others; neither background nor void.

    Raises:
        DataError: classes that are numbers without names, or no class at all.
    """
    names: dict[str, None] = {}
    for one in exports:
        if one.export.numbered:
            raise DataError(
                f"{one.export.source}: expected names of the classes, found numbers alone. Remedy: put data.yaml with "
                "`names`, or classes.txt with a name in each line, beside the labels."
            )
        names |= dict.fromkeys(nfc(name) for name in one.export.used() if name.lower() not in (*BACKGROUNDS, *VOIDS))
    if not names:
        problems = [problem for one in exports for problem in one.export.problems]
        raise DataError(problems[0] if problems else "expected a class in an export of a labelling tool, found none.")
    return list(names)


def files_of(exports: Sequence[ToolExport]) -> set[Path]:
    """All files of the exports."""
    return {path for one in exports for path in one.export.files}


def label_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of ``init`` that are about exports."""
    return {name: value for name, value in options.items() if name in LABEL_OPTIONS}


def export_notes(exports: Sequence[ToolExport]) -> Iterator[str]:
    """What was found, for the user."""
    for one in exports:
        yield f"{one.export.source if one.path == '.' else one.path}: {one.export}."
    if len(exports) > 1:
        yield (
            f"Several exports are there ({first_of([one.path for one in exports], 8)}): the first that covers the "
            "training images is learnt from. Name another one: `init FOLDER/FILE`."
        )


def unread_export(data: Path) -> str | None:
    """An export without shapes or of a tool that is not read, or an archive, in a folder or below it."""
    empty = next((export for export in read_exports(data).values() if not export.counts()), None)
    if empty is not None:
        return f"{empty.place}: {_without_shape(empty)}"
    unread = [str(export) for tool, export in EXPORTS.items() if tool not in TOOLS]
    below = sorted(path for path in data.iterdir() if path.is_dir() and not is_unseen(path.name))
    for folder in (data, *below):
        other = foreign_folder(folder) or ""
        if any(export in other for export in unread) or ".zip and its like" in other:
            return other if folder == data else f"{folder.name}/{other}"
    return None


def _lies_in(export: Export, place: Path) -> bool:
    """Whether a file of an export is in the folder of another: it could not be named alone."""
    return place.is_dir() and any(path.is_relative_to(place) for path in export.files)


def _relative(path: Path, data: Path) -> str:
    """Without following links: what is linked into the folder lies in it."""
    return Path(os.path.relpath(path, data)).as_posix()
