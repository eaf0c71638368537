"""merge_cams: Cams x Cams -> Cams; the mean of what two networks, seeds or methods say of the same images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from models.errors import DataError
from models.ops.resize import resize_bilinear
from models.options import InnerShare
from models.structures import Cam


def merge_cams(samples: Iterable[tuple[str, Cam, Cam]], *, weight: InnerShare = 0.5) -> Iterator[tuple[str, Cam]]:
    """Average two CAMs of each image. A merged CAM is a Cam: a third one is merged with it at a weight of a third.

    Args:
        samples: (id, cam, other), both of one image and of the same classes.
        weight: share of ``other`` in the mean.

    Yields:
        (id, cam), in order: scores float32 on the grid of ``cam``, to which ``other`` is resized bilinearly, and the
        instances of ``cam``.

    Raises:
        DataError: CAMs of other classes, or of an image of another size.
    """
    for name, cam, other in samples:
        if cam.size != other.size or not np.array_equal(cam.classes, other.classes):
            raise DataError(
                f"Image '{name}': expected two CAMs of the same classes, found {cam.classes.tolist()} at {cam.size} "
                f"pixels and {other.classes.tolist()} at {other.size}. Remedy: export both with the same tags."
            )
        brought = resize_bilinear(other.scores, cam.scores.shape[1:])
        share = np.float32(weight)
        yield name, replace(cam, scores=(1 - share) * cam.scores + share * brought)
