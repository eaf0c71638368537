"""shapes: all that a labelling tool's export has, image by image: tags, boxes, points, strokes and areas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from models.errors import ConfigurationError, DataError
from models.options import NonNegative, Positive, require
from models.structures import BACKGROUND, Supervision
from pipeline.annotations.against_tags import tag_notices
from pipeline.annotations.common import tags_with
from pipeline.annotations.drawings import OTHER, Drawings, Item, read_drawings
from pipeline.annotations.items import raise_together
from pipeline.annotations.painting import Brushes, Layers, agreed, bad_bitmaps, by_annotator, layers, seeds_of
from pipeline.annotations.tools.drawn import PLURAL
from pipeline.annotations.unannotated import Unannotated, remedy, strange_names
from pipeline.datasets.catalogue import Catalogue
from pipeline.problems.notices import Notice, first_of
from stages.annotate import AnnotationSource, Annotator

PluralKind = Literal["tags", "boxes", "points", "scribbles", "masks"]


@dataclass(frozen=True)
class Shapes:
    """A mixture of what there is: each image has the labels that were drawn in it.

    In an image with boxes and areas alone, what they leave out is background; the inside of a box is unlabelled. With
    a point or a stroke in the image, or a class that was chosen and not drawn, what no shape holds is unlabelled.

    Attributes:
        file: export of a labelling tool, a file or a folder, relative to the project root: CVAT, LabelMe, Label Studio,
            VIA, YOLO, COCO, Datumaro, Supervisely, Pascal VOC, LabelMe's XML. Which one, its content says. It has to be
            named: shapes are never derived from masks.
        only: take shapes of these kinds alone; null takes all.
        unannotated: what images without any shape are: "left_out" (the others alone are learnt from), "unlabelled"
            (they have their tags) or "background" (they have no object). null refuses them, unless the export says
            itself that they have no object.
        annotators: where several people drew one image: "union" takes all that they drew, "majority" what more than
            half of them drew. null refuses such images.
        brush: what areas of a brush are, with which Label Studio's users draw both: "areas" or "strokes". null takes
            areas, with a warning.
        crowds: what a crowd is, as which CVAT's COCO has all that a brush drew: "void", or "areas" for objects like
            others. null takes void, with a warning, and refuses a file whose areas all are crowds.
        background: what areas and boxes leave out is background, as said above; else unlabelled.
        width: of a stroke, in pixels.
        radius: a point labels the pixels within this many pixels; 0 the one pixel.
    """

    may_hold_boxes: ClassVar[bool] = True

    file: str | None = None
    only: list[PluralKind] | None = None
    unannotated: Unannotated | None = None
    annotators: Literal["union", "majority"] | None = None
    brush: Literal["areas", "strokes"] | None = None
    crowds: Literal["void", "areas"] | None = None
    background: bool = True
    width: Positive = 3.0
    radius: NonNegative = 0.0

    def __post_init__(self) -> None:
        """Refuse what is out of range (ConfigurationError)."""
        require("shapes", Shapes, asdict(self))

    def labelled(self, catalogue: Catalogue, ids: Sequence[str]) -> list[str]:
        """Those of the images that have a shape, or that the export says have no object."""
        without = set(self._without(self._read(catalogue, ids), ids))
        return [id for id in ids if id not in without]

    def check(self, catalogue: Catalogue, ids: Sequence[str], workers: int = 0) -> list[Notice]:
        """What may be wrong with the export. Raises DataError with everything that surely is."""
        drawings = self._read(catalogue, ids)
        raise_together([problem for id in ids for problem in bad_bitmaps(self._taken(drawings.items.get(id, ())))])
        classes = drawings.classes(
            [kind for kind, plural in PLURAL.items() if self.only is None or plural in self.only]
        )
        about_tags = tag_notices(drawings.source, "shapes", classes, catalogue, ids)
        return [*drawings.notices, *self._notices(drawings, ids), *about_tags]

    def bind(self, catalogue: Catalogue, ids: Sequence[str]) -> Annotator:
        """Read the export. Raises DataError with everything that is wrong with it."""
        drawings = self._read(catalogue, ids)
        return lambda source: self.supervise(source, drawings)

    def supervise(self, source: AnnotationSource, drawings: Drawings) -> Supervision:
        """What was drawn in an image as a Supervision."""
        drawn = self._layers(source, drawings)
        without_object = not drawn.kinds or (drawn.kinds == {"tag"} and not drawn.classes)
        if without_object and self._is_background(source.id, drawings):
            seeds = np.full(source.size, BACKGROUND, np.uint8)
        else:
            seeds = seeds_of(drawn, self.background)
        kept = [(box.corners, box.class_) for box in drawn.boxes if box.class_ is not None]
        return Supervision(
            tags=tags_with(source, [*drawn.classes, *(class_ for _, class_ in kept)]),
            seeds=seeds,
            boxes=np.array([corners for corners, _ in kept], dtype=np.float32).reshape(-1, 4) if kept else None,
            box_classes=np.array([class_ for _, class_ in kept], dtype=np.int64) if kept else None,
        )

    def _layers(self, source: AnnotationSource, drawings: Drawings) -> Layers:
        brushes = Brushes(self.width, self.radius, self.brush == "strokes")
        items = self._taken(drawings.items.get(source.id, ()))
        people = by_annotator(items, sorted(drawings.annotators.get(source.id, ())))
        if self.annotators == "majority" and len(people) > 1:
            return agreed([layers(drawn, source.size, brushes) for drawn in people.values()])
        return layers(items, source.size, brushes)

    def _taken(self, items: Sequence[Item]) -> list[Item]:
        areas = self.only is None or "masks" in self.only
        kept = [item for item in items if self.only is None or self._plural(item) in self.only]
        return [item for item in kept if not (areas and item.shape.spare)]

    def _plural(self, item: Item) -> str:
        return "scribbles" if item.shape.brush and self.brush == "strokes" else PLURAL[item.shape.kind]

    def _is_background(self, id: str, drawings: Drawings) -> bool:
        """Whether an image without a shape is said to have no object: by the export, by a person, by the option."""
        said = id in drawings.empty or any(item.class_ == BACKGROUND for item in drawings.items.get(id, ()))
        return said or self.unannotated == "background"

    def _read(self, catalogue: Catalogue, ids: Sequence[str]) -> Drawings:
        if self.file is None:
            raise ConfigurationError("shapes: expected `file:` with an export of a labelling tool, found none.")
        drawings = read_drawings(Path(self.file), catalogue, self.crowds == "areas")
        several = [id for id in ids if len(drawings.annotators.get(id, ())) > 1]
        if several and self.annotators is None:
            raise DataError(
                f"{self.file}: expected one person's labels of an image, found those of several for {len(several)} "
                f"images: {first_of(several)}. Remedy: `annotators: majority` takes what most of them drew, "
                "`annotators: union` all of it."
            )
        crowds, areas = drawings.crowds()
        if self.crowds is None and crowds and crowds == areas:
            raise DataError(
                f"{self.file}: expected areas of objects, found that all {areas} are crowds, which are void. CVAT's "
                "COCO says so of what a brush drew. Remedy: `kind: shapes` with `crowds: areas` for objects, or "
                "`crowds: void`."
            )
        if self.only is not None and not any(self._taken(items) for items in drawings.items.values()):
            raise DataError(f"{self.file}: expected {' or '.join(self.only)}, found {drawings.what}.")
        without = self._without(drawings, ids)
        if without and self.unannotated is None:
            strange = strange_names(drawings.strangers, catalogue)
            others = "".join(f" {notice.text}" for notice in drawings.notices if notice.topic == OTHER)
            raise DataError(
                f"{self.file}: expected labels for {len(ids)} images, found none for {len(without)} of them: "
                f"{first_of(without, 5)}.{strange}{others}\nRemedy: draw in them, or say what they are: "
                f"{remedy(catalogue)}."
            )
        return drawings

    def _without(self, drawings: Drawings, ids: Sequence[str]) -> list[str]:
        return [id for id in ids if id not in drawings.empty and not self._taken(drawings.items.get(id, ()))]

    def _notices(self, drawings: Drawings, ids: Sequence[str]) -> Iterator[Notice]:
        brushed = [id for id in ids if any(item.shape.brush for item in drawings.items.get(id, ()))]
        if brushed and self.brush is None:
            text = (
                f"{self.file}: what a brush drew in {len(brushed)} images is taken as whole objects, and what it left "
                f"out as background: {first_of(brushed)}. If they are strokes, write `brush: strokes`."
            )
            yield Notice("brush_as_areas", len(brushed), text)
        crowds, areas = drawings.crowds()
        if crowds and self.crowds is None:
            text = (
                f"{self.file}: {crowds} of {areas} areas are crowds, and void. Where they are objects that a brush "
                "drew (CVAT's COCO), write `crowds: areas`; else `crowds: void`."
            )
            yield Notice("crowds", crowds, text)
        left = sum(len(drawings.items[id]) - len(self._taken(drawings.items[id])) for id in drawings.items)
        if left:
            text = (
                f"{self.file}: {left} shapes are of other kinds than {' and '.join(self.only or ())} and are left out."
            )
            yield Notice("shapes_left_out", left, text)
