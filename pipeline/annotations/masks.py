"""masks: the full ground truth. The upper bound; no weak supervision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.structures import Supervision
from pipeline.annotations.common import tags_with
from pipeline.datasets.catalogue import Catalogue
from stages.annotate import AnnotationSource, Annotator


@dataclass(frozen=True)
class Masks:
    """Every pixel labelled; void stays void."""

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        return self

    def __call__(self, source: AnnotationSource) -> Supervision:
        mask = source.mask()
        return Supervision(tags_with(source, np.unique(mask)), mask)
