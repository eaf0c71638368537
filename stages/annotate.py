"""annotate: what is known about each image, from published labels or derived from its ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.structures import IGNORE, MAX_CLASSES, UNLABELLED, Mask, Supervision


@dataclass(frozen=True, slots=True)
class AnnotationSource:
    """What an annotator may look at.

    Attributes:
        id: of the image.
        size: (H, W) in pixels.
        num_classes: C.
        tags: published image labels, 1..C; None where the data set publishes none.
        mask: opens the ground truth, uint8 [H,W]. Only an annotator that derives its labels calls it.
        instances: opens the instance numbers, int32 [H,W], 0 none; gives None where there are none.
    """

    id: str
    size: tuple[int, int]
    num_classes: int
    tags: tuple[int, ...] | None
    mask: Callable[[], Mask]
    instances: Callable[[], npt.NDArray[np.int32] | None]


Annotator: TypeAlias = Callable[[AnnotationSource], Supervision]


def annotate(samples: Iterable[AnnotationSource], annotator: Annotator) -> Iterator[tuple[str, Supervision]]:
    """Yield (id, supervision) in the order of the samples.

    Raises:
        ValueError: an annotator made something that is no Supervision of its image.
    """
    for source in samples:
        supervision = annotator(source)
        _check(source, supervision)
        yield source.id, supervision


def _check(source: AnnotationSource, supervision: Supervision) -> None:
    seeds, tags = supervision.seeds, supervision.tags
    if seeds.shape != source.size or seeds.dtype != np.uint8 or tags.shape != (source.num_classes,):
        raise ValueError(
            f"{source.id}: expected seeds uint8 {source.size} and tags ({source.num_classes},), "
            f"found {seeds.dtype} {seeds.shape} and {tags.shape}"
        )
    seeded = np.flatnonzero(np.bincount(seeds.ravel(), minlength=256))
    labels = min(source.num_classes, MAX_CLASSES)
    beyond = [c for c in seeded if labels < c < UNLABELLED]
    untagged = [c for c in seeded if 1 <= c <= labels and not tags[c - 1]]
    if beyond or untagged:
        raise ValueError(f"{source.id}: seeds of classes without a tag: {beyond + untagged} (void is {IGNORE})")
    count = None if supervision.box_classes is None else len(supervision.box_classes)
    shape = None if supervision.boxes is None else supervision.boxes.shape
    if shape != (None if count is None else (count, 4)):
        raise ValueError(f"{source.id}: expected boxes [N,4] with N classes, found {shape} and {count}")
