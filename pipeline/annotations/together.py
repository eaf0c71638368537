"""Boxes, clicks and strokes that lie side by side in one folder: each image has what there is of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.doors import resolve
from models.errors import ConfigurationError, DataError, closest
from models.structures import BACKGROUND, UNLABELLED, Supervision
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.files import read_boxes, read_points
from pipeline.annotations.label_folder import LabelFolder
from pipeline.annotations.scribble_files import SUFFIXES
from pipeline.annotations.unannotated import check_kind, remedy
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice, first_of
from stages.annotate import AnnotationSource, Annotator

FILES = {"boxes": "boxes.csv", "scribbles": "scribbles", "points": "points.csv"}
"""Kind -> what lies in the folder; later ones lie over earlier ones."""


@dataclass(frozen=True)
class Together:
    """What a folder has of each kind.

    Attributes:
        folder: with some of :data:`FILES`.
        options: kind -> its options.
    """

    folder: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def labelled(self, catalogue: Catalogue, ids: Sequence[str]) -> list[str]:
        """Those of the images that one of the files has."""
        there = set().union(*self._there(catalogue, ids).values())
        return [id for id in ids if id in there]

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int) -> list[Notice]:
        """What may be wrong with the files. Raises DataError with what surely is, and for images that no file has."""
        covered = self._covered(catalogue, ids)
        notices: list[Notice] = []
        for kind, there in covered.items():
            notices += check_kind(self._annotator(kind), catalogue, there, workers)
        return notices

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Read the files. Raises DataError with everything that is wrong with them."""
        covered = self._covered(catalogue, ids)
        bound = {kind: self._annotator(kind).bind(catalogue, there) for kind, there in covered.items()}
        having = {id: [bound[kind] for kind, there in covered.items() if id in there] for id in ids}
        return lambda source: _over(source, having[source.id])

    def _files(self) -> dict[str, Path]:
        """Those that there are."""
        for kind in self.options:
            if kind not in FILES:
                raise ConfigurationError(f"options: expected options of {', '.join(FILES)}.{closest(kind, FILES)}")
        there = {kind: self.folder / name for kind, name in FILES.items() if (self.folder / name).exists()}
        if not there:
            raise DataError(
                f"{self.folder}: expected a folder with {', '.join(FILES.values())}, or some of them, found none. "
                "Remedy: `kind: shapes` reads exports of labelling tools."
            )
        return there

    def _covered(self, catalogue: Catalogue, ids: Sequence[str]) -> dict[str, list[str]]:
        """Kind -> the images that its file has. Raises DataError for images that none has."""
        covered = self._there(catalogue, ids)
        missing = [id for id in ids if not any(id in there for there in covered.values())]
        if missing:
            kinds = " or ".join(self._files())
            raise DataError(
                f"{self.folder}: expected {kinds} for {len(ids)} images, found none for {len(missing)} of them: "
                f"{first_of(missing, 5)}.\nAnnotate them, or say what they are: {remedy(catalogue)}."
            )
        return covered

    def _there(self, catalogue: Catalogue, ids: Sequence[str]) -> dict[str, list[str]]:
        """Kind -> those of the images that its file has."""
        found = {kind: _IDS[kind](path, catalogue, ids) for kind, path in self._files().items()}
        return {kind: here for kind, there in found.items() if (here := [id for id in ids if id in there])}

    def _annotator(self, kind: str) -> Any:
        file = str(self.folder / FILES[kind])
        return resolve(ANNOTATORS, kind, "kind of supervision")(file=file, **self.options.get(kind, {}))


def _over(source: AnnotationSource, annotators: Sequence[Annotator]) -> Supervision:
    """Later kinds over earlier ones. With clicks or strokes in an image, what its boxes leave out is no background.

    As in :class:`pipeline.annotations.shapes.Shapes`: nobody said then that all objects have a box.
    """
    made = [annotator(source) for annotator in annotators]
    if len(made) == 1:
        return made[0]
    seeds = np.full(source.size, UNLABELLED, np.uint8)
    for one in made:
        says = (one.seeds != UNLABELLED) & ((one.boxes is None) | (one.seeds != BACKGROUND))
        np.copyto(seeds, one.seeds, where=says)
    boxed = next((one for one in made if one.boxes is not None), made[0])
    return Supervision(np.logical_or.reduce([one.tags for one in made]), seeds, boxed.boxes, boxed.box_classes)


_IDS: Mapping[str, Callable[[Path, Catalogue, Sequence[str]], Any]] = {
    "boxes": lambda path, catalogue, ids: read_boxes(path, catalogue, ()).items,
    "points": lambda path, catalogue, ids: read_points(path, catalogue, ()).items,
    "scribbles": lambda path, catalogue, ids: LabelFolder(path, catalogue, SUFFIXES).find(ids).ids,
}
