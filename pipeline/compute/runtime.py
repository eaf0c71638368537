"""Where and with how much a stage runs: device, precision, worker processes, several devices.

The environment decides what is about the machine and not about the result: ``WEAK2MASK_DEVICE`` (cpu, cuda, cuda:1),
``WEAK2MASK_WORKERS`` (processes); ``pipeline.compute.engines`` has more.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from models.errors import ConfigurationError, closest
from pipeline.compute.bars import progress as progress
from pipeline.compute.bars import steps_bar as steps_bar
from pipeline.compute.elastic import meet_again

if TYPE_CHECKING:
    from lightning_fabric import Fabric


PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


def workers() -> int:
    """Number of worker processes: ``WEAK2MASK_WORKERS``, or the cores that this process may use.

    Raises:
        ConfigurationError: the variable is not a whole number of 0 or more.
    """
    value = os.environ.get("WEAK2MASK_WORKERS", "").strip()
    if not value:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not _is_whole(value):
        raise ConfigurationError(f"WEAK2MASK_WORKERS: expected a whole number of 0 or more, found '{value}'.")
    return int(value)


def devices() -> int:
    """Number of processes, each with a device, that train together on this machine: ``WEAK2MASK_DEVICES``, or 1.

    Raises:
        ConfigurationError: the variable is not a whole number of 1 or more.
    """
    value = os.environ.get("WEAK2MASK_DEVICES", "").strip() or "1"
    if not _is_whole(value) or int(value) < 1:
        raise ConfigurationError(f"WEAK2MASK_DEVICES: expected a whole number of 1 or more, found '{value}'.")
    return int(value)


def _is_whole(text: str) -> bool:
    """Whether ``int`` takes it as a whole number of 0 or more: "²" is a digit too, for others."""
    return text.isascii() and text.isdecimal()


def device() -> str:
    """Name of the device: ``WEAK2MASK_DEVICE``, or "cuda" where there is one, or "cpu".

    Raises:
        ConfigurationError: another name, or a device that is not there.
    """
    name = os.environ.get("WEAK2MASK_DEVICE", "").strip() or "auto"
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not _is_whole(index)):
        raise ConfigurationError(
            f"WEAK2MASK_DEVICE: unknown device '{name}'.{closest(name, ('cpu', 'cuda', 'cuda:0'))}"
        )
    if kind == "cpu":  # "cpu:0" too: there is one, and who asks compares with "cpu"
        return kind
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda" if count else "cpu"
    if int(index or 0) >= count:
        raise ConfigurationError(
            f"WEAK2MASK_DEVICE={name}: this machine has {count} CUDA devices. Unset it, or use cpu."
        )
    return name


def fabric(
    precision: str = "32-true", *, devices: int = 1, num_nodes: int = 1, find_unused_parameters: bool = False
) -> Fabric:
    """Lightning Fabric on :func:`device`, launched, with deterministic algorithms.

    Under ``torchrun`` the number of processes is torchrun's and ``devices`` and ``num_nodes`` are not read.

    Args:
        precision: "32-true", "bf16-mixed" (autocast), or "16-mixed" (autocast and loss scaling, CUDA only). On a CPU
            without instructions for bfloat16, "bf16-mixed" warns and is "32-true".
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

    if precision == "bf16-mixed" and not is_fast_in_bfloat16(kind):
        warnings.warn(
            "precision bf16-mixed: this CPU has no instructions for bfloat16, in which it would be many times slower. "
            "Computing in float32.",
            stacklevel=2,
        )
        precision = "32-true"
    local, machines = _processes(devices, num_nodes)
    several = local * machines > 1
    backend = "gloo" if kind == "cpu" else "nccl"
    ddp = DDPStrategy(process_group_backend=backend, find_unused_parameters=find_unused_parameters)
    if several:
        meet_again(backend)
    be_deterministic()
    if kind == "cpu":
        keep_memory()
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


def is_fast_in_bfloat16(kind: str) -> bool:
    """Whether a device of this kind ("cpu", "cuda") has instructions for bfloat16."""
    import torch

    from models.ops.half_precision import is_fast_in

    return is_fast_in(torch.bfloat16, kind)


def keep_memory() -> None:
    """Freed memory stays with this process, where the C library is glibc.

    It would go back to the system after each use, and come again page by page (``benchmarks/cpu.py``).
    """
    trim_threshold, mmap_max = -1, -4  # parameters of mallopt(3)
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, -1)


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
