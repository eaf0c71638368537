"""propagate_cams: Cams x Checkpoint -> Cams, by a random walk over what a network has learned to belong together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from models.errors import ConfigurationError
from models.ops.instances import instances as find_instances
from models.ops.multiscale import evaluating, to_batch
from models.ops.resize import enlarge_cells
from models.refiners.random_walk import RandomWalk
from models.structures import Cam, Image, Propagator


def propagate_cams(
    samples: Iterable[tuple[str, Image, Cam]],
    propagator: Propagator,
    walk: RandomWalk,
    *,
    device: Any = "cpu",
    instances: bool = False,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> Iterator[tuple[str, Cam]]:
    """Walk each CAM over the links of its image. A propagated CAM is a Cam, so refiners chain.

    Args:
        samples: (id, image uint8 RGB [H,W,3], cam).
        propagator: on ``device``.
        walk: how the scores enter, walk and leave.
        instances: also tell objects apart, by the displacements of a network that learned them (IRN); they become
            the CAM's ``instances``.
        precision: of the network's arithmetic; the walk is float64.

    Yields:
        (id, propagated cam), in order. Images without classes pass as they are, without the network.
    """
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
            links = propagator.links(batch)
            walked = walk(links, cam)
            if instances:
                walked = replace(walked, instances=_objects(propagator.displacements(batch), links.stride, cam.size))  # type: ignore[attr-defined]
        yield name, walked


def _objects(displacement: Tensor, stride: int, size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Instances int32 [H,W] of displacements [2,h,w] in cells."""
    objects = find_instances(displacement.float().cpu().numpy())
    return enlarge_cells(objects, stride, size)
