"""What the processes of a training exchange beside their gradients."""

from __future__ import annotations

from torch import Tensor, distributed


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of every process's ``values``, of any shape, the same in each; of one process they are as they were."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    summed = values.clone()
    distributed.all_reduce(summed)
    return summed / distributed.get_world_size()
