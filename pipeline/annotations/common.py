"""What the kinds of supervision share: tags, regions of a mask, randomness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from models.structures import BACKGROUND, IGNORE, UNLABELLED, Mask
from stages.annotate import AnnotationSource


@dataclass(frozen=True)
class Region:
    """One object, or one connected piece of a class: bool [H,W] and the class, 1..C."""

    pixels: npt.NDArray[np.bool_]
    class_: int

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.pixels.sum())


def generator(seed: int, id: str) -> np.random.Generator:
    """Randomness of one image: it does not depend on which images come before."""
    return np.random.default_rng([seed, crc32(id.encode())])


def unlabelled(source: AnnotationSource) -> Mask:
    """Seeds that say nothing, [H,W] of 254."""
    return np.full(source.size, UNLABELLED, dtype=np.uint8)


def tags_with(source: AnnotationSource, classes: Iterable[int]) -> npt.NDArray[np.bool_]:
    """Published tags together with the classes that were annotated, bool [C]."""
    tags = np.zeros(source.num_classes, dtype=bool)
    present = [c for c in {*(source.tags or ()), *(int(c) for c in classes)} if 1 <= c <= source.num_classes]
    tags[np.array(present, dtype=int) - 1] = True
    return tags


def regions(source: AnnotationSource, min_area: int) -> list[Region]:
    """Objects of the ground truth: its instances, or the connected pieces (8 neighbours) of each class.

    Pieces smaller than ``min_area`` pixels are left out, but for the largest of a class.
    """
    return objects(source.mask(), source.instances(), min_area)


def objects(mask: Mask, instances: npt.NDArray[np.int32] | None, min_area: int) -> list[Region]:
    """As :func:`regions`, of a mask uint8 [H,W] and its instance numbers int32 [H,W] or None."""
    pieces = _pieces(mask) if instances is None else _objects(mask, instances)
    largest = {region.class_: region for region in sorted(pieces, key=lambda region: region.area)}
    return [region for region in pieces if region.area >= min_area or largest[region.class_] is region]


def _pieces(mask: Mask) -> list[Region]:
    from skimage.measure import label  # here: tags and annotation files have no need of it

    numbers = label(np.where(mask == IGNORE, BACKGROUND, mask), background=BACKGROUND, connectivity=2)
    return _objects(mask, numbers)


def _objects(mask: Mask, instances: npt.NDArray[np.int32]) -> list[Region]:
    """An object has the class of most of its pixels; objects of no kept class are none."""
    pieces = []
    for number in np.unique(instances[instances > 0]):
        pixels = instances == number
        votes = np.bincount(mask[pixels], minlength=256)
        votes[[BACKGROUND, IGNORE]] = 0
        if votes.any():
            class_ = int(votes.argmax())
            pieces.append(Region(pixels & (mask == class_), class_))
    return pieces


def window(pixels: npt.NDArray[np.bool_], margin: int = 1) -> tuple[slice, slice]:
    """The part of the image that a region fills, with a margin."""
    rows, columns = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
    down, across = ((max(int(at[0]) - margin, 0), int(at[-1]) + margin + 1) for at in (rows, columns))
    return slice(*down), slice(*across)
