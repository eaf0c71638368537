"""align_cams: Cams x Proposals -> Cams, that follow the outlines of class-agnostic masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from models.structures import Cam, Proposals

Aligner = Callable[[Cam, Proposals], Cam]


def align_cams(samples: Iterable[tuple[str, Cam, Proposals]], aligner: Aligner) -> Iterator[tuple[str, Cam]]:
    """Give each CAM the outlines of its image's proposals. An aligned CAM is a Cam, so refiners chain.

    Args:
        samples: (id, cam, proposals of the same image).
        aligner: from the door ``models.refiners.ALIGNERS``.

    Yields:
        (id, aligned cam), in order. Images without classes, or without proposals, pass as they are.
    """
    for name, cam, proposals in samples:
        yield name, aligner(cam, proposals) if len(cam.classes) and len(proposals.masks) else cam
