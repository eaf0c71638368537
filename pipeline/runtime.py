"""Where and with how much a stage runs: device, precision, worker processes, several devices, progress bars.

The environment decides what is about the machine and not about the result:
``WEAK2MASK_DEVICE`` (cpu, cuda, cuda:1), ``WEAK2MASK_WORKERS`` (processes).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from models.errors import ConfigurationError, Weak2MaskError, closest

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def progress(iterable: Iterable[Item], total: int | None = None, desc: str = "") -> Iterator[Item]:
    """Yield from ``iterable`` behind a bar on stderr; in a log file a line every half minute at most."""
    from tqdm import tqdm

    return iter(tqdm(iterable, total=total, desc=desc, **_bar_options()))


def steps_bar(total: int, done: int, desc: str, shown: bool = True) -> tqdm[NoReturn]:
    """A bar to be moved by hand, at ``done`` of ``total``; it shows speed, the time left and what is posted to it.

    Of several processes that train together only one has it ``shown``.
    """
    from tqdm import tqdm

    return tqdm(total=total, initial=done, desc=desc, unit="step", disable=not shown, **_bar_options())


def _bar_options() -> dict[str, Any]:
    live = sys.stderr.isatty() and not os.environ.get("CI")
    interval = 0.2 if live else 30.0
    return {"file": sys.stderr, "mininterval": interval, "maxinterval": interval, "ncols": 100}


def workers() -> int:
    """Number of worker processes: ``WEAK2MASK_WORKERS``, or the cores that this process may use.

    Raises:
        ConfigurationError: the variable is not a whole number of 0 or more.
    """
    value = os.environ.get("WEAK2MASK_WORKERS", "").strip()
    if not value:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not value.isdigit():
        raise ConfigurationError(f"WEAK2MASK_WORKERS: expected a whole number of 0 or more, found '{value}'.")
    return int(value)


def devices() -> int:
    """Number of processes, each with a device, that train together on this machine: ``WEAK2MASK_DEVICES``, or 1.

    Raises:
        ConfigurationError: the variable is not a whole number of 1 or more.
    """
    value = os.environ.get("WEAK2MASK_DEVICES", "").strip() or "1"
    if not value.isdigit() or int(value) < 1:
        raise ConfigurationError(f"WEAK2MASK_DEVICES: expected a whole number of 1 or more, found '{value}'.")
    return int(value)


def device() -> str:
    """Name of the device: ``WEAK2MASK_DEVICE``, or "cuda" where there is one, or "cpu".

    Raises:
        ConfigurationError: another name, or a device that is not there.
    """
    name = os.environ.get("WEAK2MASK_DEVICE", "").strip() or "auto"
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise ConfigurationError(
            f"WEAK2MASK_DEVICE: unknown device '{name}'.{closest(name, ('cpu', 'cuda', 'cuda:0'))}"
        )
    if kind == "cpu":
        return name
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda" if found else "cpu"
    if int(index or 0) >= found:
        raise ConfigurationError(
            f"WEAK2MASK_DEVICE={name}: this machine has {found} CUDA devices. Unset it, or use cpu."
        )
    return name


def map_parts(
    task: Callable[[int], Result], parts: Sequence[int], desc: str, workers: int | None = None
) -> list[Result]:
    """Run ``task(part)`` for every part in a pool of fresh processes; the results come in the order of ``parts``.

    Every process computes with one thread, so that a sum is taken in the same order, and an artefact has the same
    bytes, whatever the number of workers.

    Args:
        task: picklable (a module-level function, a ``functools.partial`` of one, or an instance with ``__call__``);
            it opens its own stores, and writes what must outlive a failure of another part.
        parts: part numbers.
        desc: what is being done, for the bar and for messages.
        workers: processes; default :func:`workers`; 0 runs in this process (to debug).

    Raises:
        Exception: the first failure, with the part in a note. Parts under way end first, the rest is not started.
    """
    count = min(_default_workers() if workers is None else workers, len(parts))
    if count == 0:
        return [task(part) for part in progress(parts, len(parts), desc)]
    with (
        _one_thread_environment(),
        ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_start_worker) as pool,
    ):
        futures = {pool.submit(task, part): part for part in parts}
        try:
            for future in progress(as_completed(futures), len(parts), desc):
                _raise_failure(future, futures[future], desc)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]


_default_workers = workers


def _raise_failure(future: Future[Any], part: int, desc: str) -> None:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        raise Weak2MaskError(
            f"{desc}: a worker process was killed, most often for want of memory. Finished parts are kept: "
            "run again with fewer processes (WEAK2MASK_WORKERS=1)."
        ) from error
    if error is not None:
        error.add_note(f"{desc}: in part {part}")
        raise error


@contextmanager
def _one_thread_environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, and only the parent says so
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """A pool's worker outlives a parent that was killed; this one does not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def fabric(
    precision: str = "32-true", *, devices: int = 1, num_nodes: int = 1, find_unused_parameters: bool = False
) -> Fabric:
    """Lightning Fabric on :func:`device`, launched, with deterministic algorithms.

    Under ``torchrun`` the number of processes is torchrun's and ``devices`` and ``num_nodes`` are not read.

    Args:
        precision: "32-true", "bf16-mixed" (autocast), or "16-mixed" (autocast and loss scaling, CUDA only).
        devices: processes on this machine; more than one without torchrun starts the same command again for each.
        num_nodes: machines.
        find_unused_parameters: for a method whose forward leaves parameters out in some steps.

    Raises:
        ConfigurationError: unknown precision, or one that the device cannot do.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(f"Unknown precision '{precision}'.{closest(precision, PRECISIONS)}")
    kind, _, index = device().partition(":")
    if precision == "16-mixed" and kind == "cpu":
        raise ConfigurationError("Precision '16-mixed' needs a CUDA device, found the CPU. Remedy: 'bf16-mixed'.")
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    local, machines = _processes(devices, num_nodes)
    several = local * machines > 1
    backend = "gloo" if kind == "cpu" else "nccl"
    ddp = DDPStrategy(process_group_backend=backend, find_unused_parameters=find_unused_parameters)
    be_deterministic()
    chosen: Any = [int(index)] if index and not several else local
    built = Fabric(
        accelerator=kind,
        strategy=ddp if several else "auto",
        devices=chosen,
        num_nodes=machines,
        precision=precision,
    )
    built.launch()
    return built


def _processes(devices: int, num_nodes: int) -> tuple[int, int]:
    """Processes a machine, and machines; torchrun says it in the environment."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return devices, num_nodes
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local


def be_deterministic() -> None:
    """Ask torch for the deterministic one of its algorithms; where there is none it warns.

    On the CPU a training is then the same bytes on the same machine with the same number of threads.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses deterministic mode
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow, hides mistakes
    torch.backends.cudnn.benchmark = False
