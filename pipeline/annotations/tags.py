"""tags: only which classes are in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.errors import DataError
from models.structures import Supervision
from pipeline.annotations.common import tags_with, unlabelled
from pipeline.annotations.shapes import Shapes
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from stages.annotate import AnnotationSource, Annotator


@dataclass(frozen=True)
class Tags:
    """Image tags.

    Attributes:
        file: export of a labelling tool, relative to the project root: an image has the classes that were chosen for
            it or drawn in it. None takes ``source``.
        source: "published" labels of the data set, classes of the "masks", or "auto": published, or else masks.
    """

    file: str | None = None
    source: Literal["auto", "published", "masks"] = "auto"

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the export. Raises DataError with everything that surely is."""
        return [] if self.file is None else Shapes(self.file, annotators="majority").check(catalogue, ids, workers)

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Raises DataError when published tags are asked for and there are none, or with what is wrong with a file."""
        if self.file is not None:
            drawn = Shapes(self.file, annotators="majority").bind(catalogue, ids)
            return lambda source: Supervision(drawn(source).tags, unlabelled(source))
        without = [id for id in ids if catalogue.entry(id).tags is None]
        if self.source == "published" and without:
            raise DataError(
                f"Catalogue '{catalogue.name}' publishes no tags for {len(without)} images ({without[0]}, ...). "
                "Name the label file in the data set's options, or set `source: masks`."
            )
        return self

    def __call__(self, source: AnnotationSource) -> Supervision:
        if self.source == "masks" or (self.source == "auto" and source.tags is None):
            tags = np.isin(np.arange(1, source.num_classes + 1), source.mask())
        else:
            tags = tags_with(source, ())
        return Supervision(tags, unlabelled(source))
