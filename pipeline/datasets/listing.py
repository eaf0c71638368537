"""What a reader says about a data set before any of its files was opened."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.datasets.ground_truth import Corners
from pipeline.problems.notices import Notice
from stages.prepare import Problem


@dataclass(frozen=True, slots=True)
class Listed:
    """One image as a list of the data set names it. Paths are relative to the listing's root.

    Attributes:
        id: the image's name.
        image, tags: as in :class:`pipeline.datasets.catalogue.CatalogueImage`.
        mask, instances, boxes: as in :class:`pipeline.datasets.ground_truth.ImageTruth`.
        size: (H, W) that the image must have, where a list says so.
        where: the list, or the line of the table, that names it.
        mask_from: the file that the mask is made of, where the reader's ``make`` writes the mask, for messages.
    """

    id: str
    image: str
    mask: str | None = None
    instances: str | None = None
    tags: tuple[int, ...] | None = None
    where: str = ""
    boxes: tuple[Corners, ...] | None = None
    size: tuple[int, int] | None = None
    mask_from: str = ""


@dataclass(frozen=True)
class Listing:
    """A data set by name only.

    Attributes:
        root: folder of the files, relative to the project root; "." for the artefacts' own folders.
        class_names: C names.
        splits: split name to images, in order. An image may stand in several splits, but once in each.
        mask_values: value of each class in the mask files.
        mask_maximum: largest class value that a mask file may hold besides 255.
        mask_background: value of the background in the mask files; None where they have no background.
        order_option: the reader's option that orders the classes, which a remedy can name: "classes" of a reader that
            has ``mask_values`` too, "names"; "" for none.
        problems: what is wrong with the lists themselves.
        notices: what may be wrong with them.
        upright: apply EXIF orientation.
        make: draws images and masks of these ids into the artefacts' two folders first, with so many processes, and
            says what is wrong with what it had to draw.
        truth_root: of masks and instances, where that is not ``root``; "." for the artefact's own folder.
    """

    root: str
    class_names: tuple[str, ...]
    splits: Mapping[str, list[Listed]]
    mask_values: tuple[int, ...]
    mask_maximum: int
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    upright: bool = False
    mask_background: int | None = 0
    order_option: str = ""
    make: Callable[[Path, Path, int, Collection[str]], Sequence[Problem]] | None = None
    truth_root: str | None = None
