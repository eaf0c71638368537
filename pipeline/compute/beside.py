"""Processes beside a GPU: what the CPU does with the device's results, while the device goes on."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache

from pipeline.compute import runtime
from pipeline.compute.engines.processes import obey_parent
from pipeline.compute.threads import VARIABLES


@cache
def processes_beside_gpu() -> ProcessPoolExecutor | None:
    """As many as there are workers but one, with one thread each, kept for all chunks of a stage.

    None where the stage computes on the CPU, whose cores have chunks of their own, and in processes that may start
    none.
    """
    count = runtime.workers() - 1
    if runtime.device() == "cpu" or count < 1 or multiprocessing.current_process().daemon:
        return None
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_start)


def _start() -> None:
    os.environ.update(dict.fromkeys(VARIABLES, "1"))  # numpy and torch are not imported yet
    obey_parent()
