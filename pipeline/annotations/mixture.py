"""mixture: some images with one kind of supervision, some with another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from zlib import crc32

from models.doors import resolve
from models.errors import ConfigurationError, closest
from models.options import Count
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.common import check_kind
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from stages.annotate import Annotator


@dataclass(frozen=True)
class Mixture:
    """Each image gets one kind, chosen by its id.

    Attributes:
        parts: kind -> part of the images, adding up to 1.
        options: kind -> its options.
        seed: of the choice.
    """

    built_by_check: ClassVar[bool] = True
    may_hold_boxes: ClassVar[bool] = True

    parts: dict[str, float]
    options: dict[str, Any] = field(default_factory=dict)
    seed: Count = 0

    def __post_init__(self) -> None:
        if abs(sum(self.parts.values()) - 1) > 1e-6 or min(self.parts.values()) < 0:
            raise ConfigurationError(f"parts: expected parts from 0 to 1 that add up to 1, found {self.parts}.")
        for kind in (*self.parts, *self.options):
            if kind == "mixture":
                raise ConfigurationError("A mixture of mixtures is not supported; name the kinds side by side.")
            if kind not in ANNOTATORS:
                raise ConfigurationError(f"unknown kind '{kind}'.{closest(kind, ANNOTATORS)}")

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the files of the parts, each for the images that have it."""
        notices = []
        for kind in self.parts:
            chosen = [id for id in ids if self.kind(id) == kind]
            notices += check_kind(self._annotator(kind), catalogue, chosen, workers) if chosen else []
        return notices

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Each kind for the images that have it."""
        chosen = {id: self.kind(id) for id in ids}
        bound = {kind: self._bind(kind, catalogue, [id for id in ids if chosen[id] == kind]) for kind in self.parts}
        return lambda source: bound[chosen[source.id]](source)

    def kind(self, id: str) -> str:
        """The kind of an image: its hash falls into one of the parts."""
        place, end = crc32(f"{self.seed}:{id}".encode()) / 2**32, 0.0
        for kind, part in self.parts.items():
            end += part
            if place < end:
                return kind
        return next(reversed(self.parts))

    def _bind(self, kind: str, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        annotator: Annotator = self._annotator(kind).bind(catalogue, ids)
        return annotator

    def _annotator(self, kind: str) -> Any:
        return resolve(ANNOTATORS, kind, "kind of supervision")(**self.options.get(kind, {}))
