"""Processes that torchrun started again meet each other, and not what their predecessors left."""

from __future__ import annotations

import atexit
import os

RESTARTS = "TORCHELASTIC_RESTART_COUNT"
"""Set by torchrun: how often it has started these processes again."""


def meet_again(backend: str) -> None:
    """Connect the processes of a restart under keys of their own; of a first start, leave it to Fabric.

    torchrun keeps one store for all its starts, in which processes leave the addresses at which they listen. Those of
    the killed ones are still there when the new ones look for each other: whoever reads one before it is overwritten
    waits for a process that is gone (gloo, in about one of three restarts on a busy machine).

    Args:
        backend: of torch.distributed.
    """
    restarts = int(os.environ.get(RESTARTS, 0))
    if not restarts:
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        atexit.register(distributed.destroy_process_group)
    store, rank, size = next(rendezvous("env://"))
    apart = distributed.PrefixStore(f"restart_{restarts}", store)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=apart, rank=rank, world_size=size)
