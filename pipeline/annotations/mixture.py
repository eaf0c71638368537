"""mixture: some images with one kind of supervision, some with another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

from models.doors import resolve
from models.errors import ConfigurationError, closest
from models.options import Count
from pipeline.annotations import ANNOTATORS
from pipeline.annotations.together import Together
from pipeline.annotations.unannotated import Unannotated, bind_kind, check_kind
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from stages.annotate import Annotator


@dataclass(frozen=True)
class Mixture:
    """Each image gets one kind, chosen by its id; or, of a folder, the kinds that people gave it.

    Attributes:
        file: folder with boxes.csv, points.csv and scribbles/, or two of them, relative to the project root: each image
            has the labels that are there for it, clicks and strokes together too. None chooses by ``parts``.
        parts: kind -> part of the images, adding up to 1; without ``file``.
        options: kind -> its options.
        seed: of the choice.
        unannotated: what images are that have no labels: "left_out" (the others alone are learnt from), "unlabelled"
            (they have their tags) or "background" (they have no object). null refuses them.
    """

    built_by_check: ClassVar[bool] = True
    may_hold_boxes: ClassVar[bool] = True

    file: str | None = None
    parts: dict[str, float] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: Count = 0
    unannotated: Unannotated | None = None

    def __post_init__(self) -> None:
        parts = self._parts
        if self.parts is not None and (abs(sum(parts.values()) - 1) > 1e-6 or min(parts.values()) < 0):
            raise ConfigurationError(f"parts: expected parts from 0 to 1 that add up to 1, found {self.parts}.")
        if any((options or {}).get("unannotated") == "left_out" for options in self.options.values()):
            raise ConfigurationError(
                "unannotated: a mixture leaves images out by its own `unannotated`, beside `file`."
            )
        for kind in (*parts, *self.options):
            if kind == "mixture":
                raise ConfigurationError("A mixture of mixtures is not supported; name the kinds side by side.")
            if kind not in ANNOTATORS:
                raise ConfigurationError(f"unknown kind '{kind}'.{closest(kind, ANNOTATORS)}")

    def labelled(self, catalogue: Catalogue, ids: Sequence[str]) -> list[str]:
        """Those of the images that the folder has labels of."""
        return Together(Path(self.file or ""), self.options).labelled(catalogue, ids)

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the files of the parts, each for the images that have it."""
        if self.file is not None:
            return Together(Path(self.file), self.options).check(catalogue, ids, workers)
        notices = []
        for kind in self._parts:
            chosen = [id for id in ids if self.kind(id) == kind]
            notices += check_kind(self._annotator(kind), catalogue, chosen, workers) if chosen else []
        return notices

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Each kind for the images that have it."""
        if self.file is not None:
            return Together(Path(self.file), self.options).bind(catalogue, ids)
        chosen = {id: self.kind(id) for id in ids}
        bound = {kind: self._bind(kind, catalogue, [id for id in ids if chosen[id] == kind]) for kind in self._parts}
        return lambda source: bound[chosen[source.id]](source)

    def kind(self, id: str) -> str:
        """The kind of an image: its hash falls into one of the parts."""
        place, end = crc32(f"{self.seed}:{id}".encode()) / 2**32, 0.0
        for kind, part in self._parts.items():
            end += part
            if place < end:
                return kind
        return next(reversed(list(self._parts)))

    @property
    def _parts(self) -> Mapping[str, float]:
        return self.parts or {}

    def _bind(self, kind: str, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        return bind_kind(self._annotator(kind), catalogue, ids)

    def _annotator(self, kind: str) -> Any:
        return resolve(ANNOTATORS, kind, "kind of supervision")(**self.options.get(kind, {}))
