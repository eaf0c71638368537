"""Which labels of a user's folder cover its training images."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.doors import resolve
from models.errors import DataError
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.build import check_annotations
from pipeline.annotations.unannotated import kept_ids
from pipeline.datasets.catalogue import Catalogue
from pipeline.new_book.layout import ANNOTATIONS
from pipeline.new_book.tool_exports import ToolExport, export_notes
from pipeline.new_book.trial import try_annotations

SHAPES = "shapes"
MARKED = ("points", "scribbles", "mixture")
PIXELS = {"point", "stroke", "area"}
"""Shapes that label pixels with their class."""


def kind_of(name: str) -> str:
    """The kind of supervision of labels that a book calls so."""
    return name if name in (*ANNOTATIONS, "mixture") else SHAPES


def labels_pixels(name: str, exports: Sequence[ToolExport]) -> bool:
    """Whether labels of this name say a class for pixels: boxes and tags do not."""
    return name in MARKED or any(one.name == name and PIXELS & one.export.counts().keys() for one in exports)


@dataclass(frozen=True)
class LabelFiles:
    """Which labels of a folder cover the training images.

    Attributes:
        data: the folder.
        catalogue: of its images.
        options: of exports of labelling tools; `unannotated` of all labels.
    """

    data: Path
    catalogue: Catalogue
    options: Mapping[str, Any]

    def found(
        self, tables: Iterable[tuple[str, str]], exports: Sequence[ToolExport], needed: bool
    ) -> tuple[dict[str, str], list[str]]:
        """Name -> file, and notes.

        Args:
            tables: kind and name of each file that may be there; all together where none covers the images alone.
            exports: of labelling tools.
            needed: nothing else has labels, so that an export that does not cover the images is an error.
        """
        kinds, notes = dict[str, str](), list(export_notes(exports))
        there = list[str]()
        for kind, name in tables:
            path = self.data / name
            if path.is_dir() if kind == "scribbles" else path.is_file():
                there.append(kind)
                covers, remark = self._try(kind, path, {})
                notes += remark
                kinds |= {kind: name} if covers else {}
        if not kinds and (several := self._together(there, dict(tables))):
            kinds, notes = several, [n for n in notes if "it is not used" not in n]
        alone = needed and not kinds and len(exports) == 1
        for one in exports:
            place = self.data / one.path
            if alone:
                check_annotations(SHAPES, self.catalogue, self.ids, {"file": str(place), **self.options})
            try:
                covers, remark = self._try(SHAPES, place, self.options)
            except DataError as error:
                if needed:
                    raise
                reason = " ".join(map(str.strip, str(error).splitlines()[:2]))
                covers, remark = False, [f"{one.path} is not used. {reason}"]
            notes += remark
            kinds |= {one.name: one.path} if covers else {}
        return kinds, notes

    def taught(self, kinds: Mapping[str, str]) -> int:
        """How many training images the first of these labels teach: ``unannotated: left_out`` leaves some out."""
        if not kinds or self.options.get("unannotated") != "left_out":
            return len(self.ids)
        name, file = next(iter(kinds.items()))
        options = self.options if kind_of(name) == SHAPES else {"unannotated": "left_out"}
        annotator = resolve(ANNOTATORS, kind_of(name), "kind of supervision")(file=str(self.data / file), **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said by `found`
            return len(kept_ids(annotator, self.catalogue, self.ids))

    def _together(self, there: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
        """Name -> file of what is there where no file covers the images by itself; empty where it still does not."""
        said = {key: value for key, value in self.options.items() if key == "unannotated"}
        if not there or (len(there) == 1 and not said):
            return {}
        kind, name = ("mixture", ".") if len(there) > 1 else (there[0], names[there[0]])
        return {kind: name} if self._try(kind, self.data / name, said)[0] else {}

    @property
    def ids(self) -> Sequence[str]:
        """The training images."""
        return self.catalogue.ids("train")

    def _try(self, kind: str, path: Path, options: Mapping[str, Any]) -> tuple[bool, list[str]]:
        return try_annotations(kind, path, self.catalogue, self.ids, options)
