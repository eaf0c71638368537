"""boxes: a rectangle around each object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from models.options import Count, Share, require
from models.structures import BACKGROUND, IGNORE, UNLABELLED, Supervision
from pipeline.annotations.against_tags import tag_notices
from pipeline.annotations.common import Region, objects, tags_with, unlabelled
from pipeline.annotations.files import boxes_there, read_boxes
from pipeline.annotations.items import Box
from pipeline.annotations.unannotated import Unannotated
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice
from stages.annotate import AnnotationSource, Annotator


@dataclass(frozen=True)
class Boxes:
    """Boxes; inside them the seeds are unlabelled.

    Attributes:
        file: annotated boxes, relative to the project root: a CSV with columns image, class, x1, y1, x2, y2 (pixels
            from 0, right and bottom exclusive; class ``background`` with empty corners for an image without objects),
            COCO's JSON (``bbox``), or a folder of VOC XML files. None derives the boxes of instances or connected
            pieces from the masks.
        background: outside of all boxes the seeds are background (void where a derived truth is); else unlabelled too.
        min_area: smaller pieces (in pixels) get no derived box, but for the largest of a class.
        core: share of a box's sides, around its centre, that is labelled with its class, small boxes over large ones;
            0 labels nothing. 0.45 is a fifth of the area, as in Khoreva et al. 2017 (Box^i).
        unannotated: what images are of which the file says nothing: "left_out" (the others alone are learnt from),
            "unlabelled" (they have their tags) or "background" (they have no object). null refuses them.
    """

    may_hold_boxes: ClassVar[bool] = True

    file: str | None = None
    background: bool = True
    min_area: Count = 16
    core: Share = 0.0
    unannotated: Unannotated | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range (ConfigurationError)."""
        require("boxes", Boxes, asdict(self))

    def labelled(self, catalogue: Catalogue, ids: Sequence[str]) -> list[str]:
        """Those of the images that the file says something about."""
        there = boxes_there(Path(self.file or ""), catalogue, ids, whole=False).items
        return [id for id in ids if id in there]

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the annotation file. Raises DataError with everything that surely is."""
        if self.file is None:
            return []
        boxes = read_boxes(Path(self.file), catalogue, ids)
        return [*boxes.notices, *tag_notices(self.file, "boxes", boxes.classes, catalogue, ids)]

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Read the annotation file. Raises DataError with everything that is wrong with it."""
        if self.file is None:
            return self.derive
        boxes = read_boxes(Path(self.file), catalogue, ids, whole=False).items
        return lambda source: self.supervise(source, boxes[source.id])

    def derive(self, source: AnnotationSource) -> Supervision:
        """Boxes around the objects of the ground truth. Outside of them, its void pixels are no background."""
        mask = source.mask()
        regions = objects(mask, source.instances(), self.min_area)
        return self.supervise(source, [around(region) for region in regions], mask == IGNORE)

    def supervise(
        self, source: AnnotationSource, boxes: Sequence[Box], void: npt.NDArray[np.bool_] | None = None
    ) -> Supervision:
        """Boxes as a Supervision.

        Args:
            source: the image.
            boxes: of its objects.
            void: bool [H,W], pixels of which the truth says nothing: void outside of all boxes, unlabelled in them,
                where void would give the object's outline away.
        """
        seeds = unlabelled(source)
        if self.background:
            seeds[:] = BACKGROUND
            if void is not None:
                seeds[void] = IGNORE
        for box in sorted(boxes, key=_area, reverse=True):
            x1, y1, x2, y2 = box.corners
            seeds[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)] = UNLABELLED
            if self.core and box.class_ is not None:
                top, bottom, left, right = *_middle(y1, y2, self.core), *_middle(x1, x2, self.core)
                seeds[top:bottom, left:right] = box.class_
        if void is not None:
            seeds[void & (seeds != IGNORE)] = UNLABELLED
        kept = [(box.corners, box.class_) for box in boxes if box.class_ is not None]
        return Supervision(
            tags=tags_with(source, (class_ for _, class_ in kept)),
            seeds=seeds,
            boxes=np.array([corners for corners, _ in kept], dtype=np.float32).reshape(-1, 4),
            box_classes=np.array([class_ for _, class_ in kept], dtype=np.int64),
        )


def _area(box: Box) -> float:
    x1, y1, x2, y2 = box.corners
    return (x2 - x1) * (y2 - y1)


def _middle(start: float, end: float, share: float) -> tuple[int, int]:
    """The pixels around the middle that are a share of a side; one at least."""
    half, centre = (end - start) * share / 2, (start + end) / 2
    first = math.floor(centre - half + 0.5)
    return first, max(first + 1, math.floor(centre + half + 0.5))


def around(region: Region) -> Box:
    """The tight box of a region."""
    rows, columns = (np.flatnonzero(region.pixels.any(axis=axis)) for axis in (1, 0))
    return Box((float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)), region.class_)
