"""refine_cams: Cams -> Cams, by a refiner that needs no training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from models.structures import Cam, Image

Refiner = Callable[[Image, Cam], Cam]


def refine_cams(samples: Iterable[tuple[str, Image, Cam]], refiner: Refiner) -> Iterator[tuple[str, Cam]]:
    """Refine each CAM by looking at its image. A refined CAM is a Cam, so refiners chain.

    Args:
        samples: (id, image uint8 RGB [H,W,3], cam).
        refiner: from the door ``models.refiners.REFINERS``.

    Yields:
        (id, refined cam), in order.
    """
    for name, image, cam in samples:
        yield name, refiner(image, cam)
