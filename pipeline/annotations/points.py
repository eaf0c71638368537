"""points: a click on each object (Bearman et al., What's the Point, ECCV 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.draw import disk

from models.options import Count, NonNegative, Share, require
from models.structures import BACKGROUND, IGNORE, UNLABELLED, Supervision
from pipeline.annotations.against_tags import tag_notices
from pipeline.annotations.common import generator, regions, tags_with, unlabelled, window
from pipeline.annotations.files import read_points
from pipeline.annotations.items import Point
from pipeline.annotations.unannotated import Unannotated
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice, first_of
from stages.annotate import AnnotationSource, Annotator


@dataclass(frozen=True)
class Points:
    """Points; all other pixels are unlabelled.

    Attributes:
        file: annotated points, relative to the project root: the JSON of What's the Point, or a CSV with columns
            image, class, x, y (pixels from 0; class ``background`` for background). None derives them from masks.
        supplementary: of the JSON, take the points of the second annotators too.
        per_object: derived points on each instance or connected piece.
        background: derived points on the background of each image.
        jitter: how far derived points stray from the middle: they fall where the distance to the object's border is
            at least 1 - jitter of the largest. 0 takes the middle, 1 any pixel.
        min_area: smaller pieces (in pixels) get no derived point, but for the largest of a class.
        radius: a point labels the pixels within this many pixels; 0 the one pixel.
        seed: of the derived points.
        unannotated: what images are of which the file says nothing: "left_out" (the others alone are learnt from),
            "unlabelled" (they have their tags) or "background" (they have no object). null refuses them.
    """

    file: str | None = None
    supplementary: bool = False
    per_object: Count = 1
    background: Count = 0
    jitter: Share = 0.4
    min_area: Count = 16
    radius: NonNegative = 0.0
    seed: Count = 0
    unannotated: Unannotated | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range (ConfigurationError)."""
        require("points", Points, asdict(self))

    def labelled(self, catalogue: Catalogue, ids: Sequence[str]) -> list[str]:
        """Those of the images that the file says something about."""
        there = read_points(Path(self.file or ""), catalogue, (), self.supplementary).items
        return [id for id in ids if id in there]

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the annotation file. Raises DataError with everything that surely is."""
        if self.file is None:
            return []
        points = read_points(Path(self.file), catalogue, ids, self.supplementary)
        about_tags = tag_notices(self.file, "points", points.classes, catalogue, ids)
        return [*points.notices, *_together(self.file, points.items, ids), *about_tags]

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Read the annotation file. Raises DataError with everything that is wrong with it."""
        if self.file is None:
            return self.derived
        points = read_points(Path(self.file), catalogue, ids, self.supplementary).items
        return lambda source: self.supervise(source, points[source.id])

    def derived(self, source: AnnotationSource) -> Supervision:
        """Derived points as a Supervision; around them, void pixels of the truth stay unlabelled."""
        supervision = self.supervise(source, self.derive(source))
        if self.radius:
            supervision.seeds[source.mask() == IGNORE] = UNLABELLED
        return supervision

    def derive(self, source: AnnotationSource) -> list[Point]:
        """Points on the objects and on the background of the ground truth."""
        rng = generator(self.seed, source.id)
        points = [
            Point(row, column, region.class_)
            for region in regions(source, self.min_area)
            for row, column in inner_pixels(region.pixels, self.per_object, self.jitter, rng)
        ]
        if self.background:
            ground = source.mask() == BACKGROUND
            points += [Point(r, c, BACKGROUND) for r, c in inner_pixels(ground, self.background, 0.9, rng)]
        return points

    def supervise(self, source: AnnotationSource, points: Sequence[Point]) -> Supervision:
        """Points as a Supervision; where two fall together the first counts."""
        seeds = unlabelled(source)
        for point in points:
            rows, columns = disk((point.row, point.column), self.radius + 1e-6, shape=source.size)
            free = seeds[rows, columns] == UNLABELLED
            seeds[rows[free], columns[free]] = point.class_
        return Supervision(tags_with(source, (point.class_ for point in points)), seeds)


def _together(file: str, items: Mapping[str, Sequence[Point]], ids: Sequence[str]) -> Iterator[Notice]:
    """Points of several classes on one pixel, of which one alone can count."""
    odd = [
        id
        for id in ids
        if len({(p.row, p.column) for p in items[id]}) < len({(p.row, p.column, p.class_) for p in items[id]})
    ]
    if odd:
        text = f"{file}: {len(odd)} images have points of several classes on one pixel ({first_of(odd)}): the first"
        yield Notice("points_on_one_pixel", len(odd), f"{text} of the file counts. See which class is there.")


def inner_pixels(
    pixels: npt.NDArray[np.bool_], count: int, jitter: float, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to ``count`` pixels (row, column) of a region, away from its border."""
    if not pixels.any():
        return []
    part = window(pixels)
    depth = distance_transform_edt(np.pad(pixels[part], 1))[1:-1, 1:-1]
    inner = np.argwhere(pixels[part] & (depth >= (1 - jitter) * depth.max()))
    candidates = np.add(inner, (part[0].start, part[1].start))
    chosen = rng.choice(len(candidates), size=min(count, len(candidates)), replace=False)
    return [(int(row), int(column)) for row, column in candidates[chosen]]
