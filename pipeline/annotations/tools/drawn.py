"""What a labelling tool's export says: images, and the shapes that people drew in them. One structure for all tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Kind: TypeAlias = Literal["tag", "box", "point", "stroke", "area"]
PLURAL: dict[Kind, str] = {
    "tag": "tags",
    "box": "boxes",
    "point": "points",
    "stroke": "scribbles",
    "area": "masks",
}
"""The kind of supervision that a shape belongs to."""
Floats: TypeAlias = npt.NDArray[np.float64]
Region: TypeAlias = npt.NDArray[np.bool_]
NOTHING: Floats = np.empty((0, 2))


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """Pixels of an area as the tool stored them: a window of the image, decoded when it is asked for.

    Attributes:
        left: column of the window's first pixel.
        top: row of it.
        size: (H, W) of the window.
        read: gives bool [H,W]; raises ValueError with what was found in place of such pixels.
    """

    left: int
    top: int
    size: tuple[int, int]
    read: Callable[[], Region]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One shape, or a class that was chosen for the whole image.

    Attributes:
        kind: what it is: a rectangle is a "box", a line a "stroke", a polygon, circle, ellipse or mask an "area".
        name: its class, as the tool has it.
        where: its place in the file, for messages.
        outline: float64 [N,2], x and y from the image's left top corner: two opposite corners of a box (four if it is
            turned), one row for a point, the vertices of a stroke or of an area.
        parts: further outlines of an area.
        holes: outlines of what is no part of it.
        bitmap: pixels of an area, which then has no outline.
        brush: the pixels were drawn with a brush that people use for strokes and for areas.
        shares: the numbers are shares (0..1) of the image's width and height, and not pixels.
        order: of two areas the higher one covers the other; with equal ones the later.
        unsure: an object that is there but not asked for (difficult): its pixels are void.
        crowd: several objects in one, which is void too unless the user says that crowds are objects.
        hidden: a point on something that covers the object.
        spare: a point of an object whose area is there too, and says more.
        annotator: who drew it; "" where the file does not say.
    """

    kind: Kind
    name: str
    where: str
    outline: Floats = field(default_factory=lambda: NOTHING)
    parts: tuple[Floats, ...] = ()
    holes: tuple[Floats, ...] = ()
    bitmap: Bitmap | None = None
    brush: bool = False
    shares: bool = False
    order: int = 0
    unsure: bool = False
    crowd: bool = False
    hidden: bool = False
    spare: bool = False
    annotator: str = ""


@dataclass(eq=False)
class DrawnImage:
    """An image of an export.

    Attributes:
        name: of its file, as the tool has it (a name, a path, a URL).
        where: its place in the export, for messages.
        size: (H, W) that the tool states; None where it does not.
        also: another name of it, for where no image is called so.
        shapes: in the order of the file.
        empty: the file says that the image has no object; an image without shapes may only not be done.
        annotators: who looked at it; "" where the file does not say.
    """

    name: str
    where: str
    size: tuple[int, int] | None = None
    also: str = ""
    shapes: list[Shape] = field(default_factory=list)
    empty: bool = False
    annotators: set[str] = field(default_factory=set)

    def take(self, shapes: Sequence[Shape]) -> None:
        """Add shapes whose bitmaps are of the whole image, and say its size where the tool does not.

        Raises:
            ValueError: a bitmap of another size.
        """
        for shape in shapes:
            if shape.bitmap is not None:
                self.size = self.size or shape.bitmap.size
                if shape.bitmap.size != self.size:
                    found = f"{list(shape.bitmap.size)}, where the image has {list(self.size)} (H, W)"
                    raise ValueError(f"run lengths of size {found}")
        self.shapes += shapes


@dataclass(eq=False)
class Export:
    """All that the files of one export say.

    Attributes:
        source: file or folder, for messages.
        tool: what wrote it, for messages.
        images: in the order of the files.
        names: class names that the export declares, in its order; empty where it declares none.
        numbered: classes are numbers (from 0) without names; the names of shapes are those numbers.
        problems: what surely is wrong, each with its place.
        files: that it was read from.
        left_out: what is not a shape -> how many: "cuboid", "text".
        assumed: what the files do not say and was taken for granted, a sentence each, for warnings.
    """

    source: str
    tool: str
    images: list[DrawnImage] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    numbered: bool = False
    problems: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """Its file, or the folder of all its files."""
        return self.files[0] if len(self.files) == 1 else Path(os.path.commonpath([path.parent for path in self.files]))

    def skip(self, what: str) -> None:
        """Count something that is left out."""
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def declare(self, name: str) -> None:
        """Add a class name that the export declares."""
        if name not in self.names:
            self.names.append(name)

    def used(self) -> list[str]:
        """Names of classes that a shape has: declared ones first, in their order, then the others, sorted."""
        there = {shape.name for image in self.images for shape in image.shapes}
        declared = [name for name in self.names if name in there]
        return [*declared, *sorted(there - set(declared))]

    def counts(self) -> dict[Kind, int]:
        """How many shapes of each kind there are, of those that there are."""
        counts: dict[Kind, int] = {}
        for image in self.images:
            for shape in image.shapes:
                counts[shape.kind] = counts.get(shape.kind, 0) + 1
        return counts

    def __str__(self) -> str:
        """What it is and has: "LabelMe's JSON (3 boxes, 1 points)"."""
        counted = ", ".join(f"{count} {PLURAL[kind]}" for kind, count in self.counts().items())
        return f"{self.tool} ({counted or 'no shapes'})"
