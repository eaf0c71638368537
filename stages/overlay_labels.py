"""overlay_labels: Supervision x Supervision -> Supervision; what people corrected goes over what was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from models.structures import UNLABELLED, Supervision

OverlaySample = tuple[str, Supervision, Supervision | None]


def overlay_labels(samples: Iterable[OverlaySample]) -> Iterator[tuple[str, Supervision]]:
    """Lay labels over others: each pixel keeps the upper label, and where that says nothing (254) the lower one.

    A corrected mask labels every pixel of its image and so takes its place; a stroke changes the pixels below it.

    Args:
        samples: (id, lower, upper), both of one image; an upper of None leaves the lower one as it is.

    Yields:
        (id, supervision), in order: the tags of both; boxes and segments of the upper one, or else of the lower one.

    Raises:
        ValueError: two supervisions of different sizes or numbers of classes.
    """
    for name, lower, upper in samples:
        yield name, lower if upper is None else _overlaid(name, lower, upper)


def _overlaid(name: str, lower: Supervision, upper: Supervision) -> Supervision:
    if lower.seeds.shape != upper.seeds.shape or lower.tags.shape != upper.tags.shape:
        raise ValueError(
            f"{name}: expected labels of one image, found sizes {lower.seeds.shape} and {upper.seeds.shape}, "
            f"{len(lower.tags)} and {len(upper.tags)} classes"
        )
    with_boxes = lower if upper.boxes is None else upper
    return Supervision(
        tags=lower.tags | upper.tags,
        seeds=np.where(upper.seeds == UNLABELLED, lower.seeds, upper.seeds),
        boxes=with_boxes.boxes,
        box_classes=with_boxes.box_classes,
        segments=lower.segments if upper.segments is None else upper.segments,
    )
