"""propagate_cams: Cams x Checkpoint -> Cams, by a random walk over a network's links, or by its features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.errors import ConfigurationError
from models.ops.instances import instances as find_instances
from models.ops.multiscale import evaluating, to_batch
from models.ops.resize import enlarge_cells
from models.structures import Cam, Featured, Image, Propagator


class Spread(Protocol):
    """What spreads a CAM: :class:`models.refiners.random_walk.RandomWalk`, or another of the door ``SPREADS``.

    Attributes:
        reads: the network's function whose answer for the image it is given: "links" or "features".
    """

    @property
    def reads(self) -> str: ...

    def __call__(self, looked: Any, cam: Cam) -> Cam: ...


def propagate_cams(
    samples: Iterable[tuple[str, Image, Cam]],
    propagator: Propagator | Featured,
    spread: Spread,
    *,
    device: Any = "cpu",
    instances: bool = False,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> Iterator[tuple[str, Cam]]:
    """Spread each CAM over its image. A propagated CAM is a Cam, so refiners chain.

    Args:
        samples: (id, image uint8 RGB [H,W,3], cam).
        propagator: on ``device``.
        spread: how the scores enter, spread and leave.
        instances: also tell objects apart, by the displacements of a network that learned them (IRN); they become
            the CAM's ``instances``.
        precision: of the network's arithmetic; a walk is float64, a transport float32.

    Yields:
        (id, propagated cam), in order. Images without classes pass as they are, without the network.
    """
    if instances and spread.reads != "links":
        raise ConfigurationError(f"instances: expected a random walk, found {type(spread).__name__}. Leave it out.")
    if instances and not hasattr(propagator, "displacements"):
        raise ConfigurationError(
            f"instances: {type(propagator).__name__} learns no displacements. Use a 'boundary_net', or leave it out."
        )
    for name, image, cam in samples:
        if not len(cam.classes):
            yield name, cam
            continue
        with evaluating(propagator, device, precision):
            batch = to_batch([image], device)
            looked = getattr(propagator, spread.reads)(batch)
            done = spread(looked, cam)
            if instances:
                done = replace(done, instances=_objects(propagator.displacements(batch), looked.stride, cam.size))  # type: ignore[union-attr]
        yield name, done


def _objects(displacement: Tensor, stride: int, size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Instances int32 [H,W] of displacements [2,h,w] in cells."""
    objects = find_instances(displacement.float().cpu().numpy())
    return enlarge_cells(objects, stride, size)
