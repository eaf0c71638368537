"""What a case of the suite is, how one of its two forms is timed, and how far their results are apart."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Form = Literal["ours", "reference"]
FORMS: tuple[Form, Form] = ("ours", "reference")
Results = Mapping[str, Any]
"""Name -> number, numpy array or torch tensor: what a form computed."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Case:
    """Two ways to the same result on the same input.

    The first paragraphs of the two functions' docstrings say on the page what is compared, and from which formula.

    Attributes:
        title: of the case in tables.
        inputs: makes the input from the numbers of ``size``, the same at each call; its time does not count.
        ours: what the project does.
        reference: the straightforward way, written for the benchmark from the formula.
        size: numbers of a measurement; ``quick``: of a trial that takes a second at most.
        tolerance: largest difference of the results, see :func:`differences`.
        repetitions: times that each form runs, the two taking turns.
    """

    title: str
    inputs: Callable[..., Any]
    ours: Callable[[Any], Results]
    reference: Callable[[Any], Results]
    size: Mapping[str, int]
    quick: Mapping[str, int]
    tolerance: float
    repetitions: int = 5

    def form(self, name: Form) -> Callable[[Any], Results]:
        """``ours`` or ``reference``."""
        return self.ours if name == "ours" else self.reference


@dataclass(frozen=True)
class Repetition:
    """One run of a form.

    Attributes:
        cpu: seconds of user and system time, of the process and of the children that it waited for.
        wall: seconds that passed.
        megabytes: what the peak of the process rose by.
        results: as numpy arrays.
    """

    cpu: float
    wall: float
    megabytes: float
    results: dict[str, npt.NDArray[Any]]


def repetition(task: Callable[[Any], Results], data: Any) -> Repetition:
    """Run a form once on its input, and measure it."""
    before, cpu, wall = _resident(), _cpu_seconds(), time.perf_counter()
    results = task(data)
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    grown = max(0.0, _peak() - before)
    return Repetition(cpu, wall, grown, {name: _array(value) for name, value in results.items()})


def differences(ours: Mapping[str, npt.NDArray[Any]], reference: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    """How far two results are apart, by name.

    Returns:
        For whole numbers the share of unequal ones; for others the largest difference, divided by the largest
        absolute value of the reference. Infinity for a NaN.

    Raises:
        ValueError: other names or shapes.
    """
    if ours.keys() != reference.keys():
        raise ValueError(f"expected results named {[*reference]}, found {[*ours]}")
    return {name: _difference(name, ours[name], value) for name, value in reference.items()}


def _difference(name: str, ours: npt.NDArray[Any], reference: npt.NDArray[Any]) -> float:
    if ours.shape != reference.shape:
        raise ValueError(f"{name}: expected shape {reference.shape}, found {ours.shape}")
    if not reference.size:
        return 0.0
    if reference.dtype.kind in "iub":
        return float(np.mean(ours != reference))
    gap = float(np.abs(ours.astype(np.float64) - reference).max())
    largest = float(np.abs(reference).max())
    if not np.isfinite(gap):
        return float("inf")
    return gap / largest if largest else gap


def _array(value: Any) -> npt.NDArray[Any]:
    if hasattr(value, "detach"):
        value = value.detach()
        value = value.float() if value.is_floating_point() else value
    return np.asarray(value)


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _resident() -> float:
    """Megabytes now, from which a peak is counted; the kernel's mark of the peak is set back where it lets us."""
    try:
        CLEAR.write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> float:
    """Megabytes of the peak since the last call of :func:`_resident`, or since the process began."""
    with suppress(OSError):
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _status(key: str) -> float:
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{key}:")) * 1024 / 1e6
