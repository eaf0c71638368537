"""One compute thread, so that a sum is taken in the same order, and an artefact has the same bytes, everywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """This thread, and processes and libraries that start inside, compute with one thread; then all is as before."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    torch: Any = sys.modules.get("torch")  # not imported for this: it would start with the variables above
    threads = torch.get_num_threads() if torch else 1
    try:
        if torch:
            torch.set_num_threads(1)
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@dataclass(frozen=True)
class OneThread(Generic[Result]):
    """The task, computed with one thread wherever it runs; picklable when the task is."""

    task: Callable[[int], Result]

    def __call__(self, chunk: int) -> Result:
        with one_thread():
            return self.task(chunk)
