"""masks: every pixel has a label, by the ground truth (the upper bound; no weak supervision) or by people's areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.structures import Supervision
from pipeline.annotations.common import tags_with
from pipeline.annotations.shapes import Shapes
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from stages.annotate import AnnotationSource, Annotator


@dataclass(frozen=True)
class Masks:
    """Every pixel labelled; void stays void.

    Attributes:
        file: export of a labelling tool with areas, relative to the project root; what they leave out is background.
            None takes the ground truth.
    """

    file: str | None = None

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the export. Raises DataError with everything that surely is."""
        return [] if self.file is None else self._drawn(self.file).check(catalogue, ids, workers)

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Raises DataError with what is wrong with an export."""
        return self if self.file is None else self._drawn(self.file).bind(catalogue, ids)

    def _drawn(self, file: str) -> Shapes:
        return Shapes(file, only=["masks"], brush="areas")

    def __call__(self, source: AnnotationSource) -> Supervision:
        mask = source.mask()
        return Supervision(tags_with(source, np.unique(mask)), mask)
