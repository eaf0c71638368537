"""make_pseudo_masks: Cams -> Supervision, by a rule that says what background is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from models.errors import ConfigurationError
from models.rules.pseudo_masks import Rule
from models.structures import MAX_CLASSES, Cam, Image, Supervision

CamSample = tuple[str, Callable[[], Image], Cam, npt.NDArray[np.bool_]]


def make_pseudo_masks(samples: Iterable[CamSample], rule: Rule) -> Iterator[tuple[str, Supervision]]:
    """Label the pixels of each image from its CAM.

    Args:
        samples: (id, function that reads the image uint8 RGB [H,W,3], cam, tags bool [C]). The image is read only
            for a rule that needs it.
        rule: from the door ``models.rules.RULES``.

    Yields:
        (id, supervision with the given tags, the rule's seeds, and the CAM's instances as segments), in order.

    Raises:
        ConfigurationError: more classes than a mask can hold.
    """
    for name, load_image, cam, tags in samples:
        if len(tags) > MAX_CLASSES:
            raise ConfigurationError(
                f"make_pseudo_masks: expected at most {MAX_CLASSES} classes, which a mask can hold, found {len(tags)}. "
                "Remedy: group classes, or keep a part of them (`classes:`)."
            )
        image = load_image() if rule.needs_image else None
        yield name, Supervision(tags, rule(cam, image, tags), segments=cam.instances)
