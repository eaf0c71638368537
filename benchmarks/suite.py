"""The cases of the suite by name, and how they are run: both forms take turns, each in a process of its own."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.frame import FORMS, Case, Form, Repetition, differences, repetition
from models.errors import ConfigurationError, Weak2MaskError, closest
from pipeline.compute.machine import machine_kind

ROOT = Path(__file__).resolve().parent.parent
FILES = (
    "walks",
    "adaptive",
    "refine",
    "similarity",
    "regional",
    "pixel_segment",
    "neighbours",
    "training",
    "steps",
    "cpu",
    "loader",
    "boxes",
    "opening",
    "evaluate",
    "export_cams",
    "predict",
)
"""Files of this folder with cases, in the order of the tables. Each has a dictionary ``CASES``."""
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "pillow", "pydensecrf2", "zarr")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""One thread for each form: threads that wait for each other would count as work."""
WRITTEN = (":!results/benchmarks", ":!docs/benchmarks.md")
"""What a run of the suite and its page change: no difference from the commit that was measured."""

Record = dict[str, Any]
Runner = Callable[[str, Form, bool], Repetition]


class DisagreementError(Weak2MaskError):
    """The two forms of a case do not have the same result: a ratio of their times would mean nothing."""


@cache
def cases() -> dict[str, Case]:
    """Every case: "file.name" -> case."""
    found = {file: importlib.import_module(f"benchmarks.{file}").CASES for file in FILES}
    return {f"{file}.{name}": case for file, of_file in found.items() for name, case in of_file.items()}


def chosen(names: Sequence[str]) -> list[str]:
    """Names of the cases that are asked for, in the order of the suite: a case, or a file for all of its; none for all.

    Raises:
        ConfigurationError: an unknown name.
    """
    for name in names:
        if name not in FILES and name not in cases():
            known = [*FILES, *cases()]
            raise ConfigurationError(f"Unknown benchmark '{name}'.{closest(name, known)}")
    return [name for name in cases() if not names or name in names or name.partition(".")[0] in names]


def measured(name: str, quick: bool = False) -> Record:
    """Run a case, and describe it, its times and the machine.

    Args:
        name: of the case.
        quick: take the small size, and this process for both forms: for a test, the times say little.

    Raises:
        DisagreementError: the results of the two forms differ by more than the case's tolerance.
    """
    case = cases()[name]
    with _runner(quick) as run:
        pairs = [{form: run(name, form, quick) for form in FORMS} for _ in range(1 if quick else case.repetitions)]
    gaps = differences(pairs[0]["ours"].results, pairs[0]["reference"].results)
    if max(gaps.values()) > case.tolerance:
        raise DisagreementError(
            f"{name}: expected results that differ by at most {case.tolerance:g}, found "
            f"{', '.join(f'{gap:.2g} ({part})' for part, gap in gaps.items())}. "
            "Remedy: correct the form that is wrong. No time was kept."
        )
    return {
        "case": name,
        "title": case.title,
        "size": dict(case.quick if quick else case.size),
        "quick": quick,
        "repetitions": len(pairs),
        "difference": max(gaps.values()),
        "tolerance": case.tolerance,
        "ratio": _ratios(pairs),
        **{form: _summary(case, form, [pair[form] for pair in pairs]) for form in FORMS},
        "made": made(),
    }


def made() -> Record:
    """Where and when: date, commit, kind of machine (no model's name), versions, threads."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ":/", *WRITTEN)),
        "machine": machine_kind(),
        "threads": 1,
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    }


def is_kept(record: Mapping[str, Any], name: str) -> bool:
    """Whether a record is of this commit, machine and size, so that ``--resume`` need not make it again."""
    now, case = made(), cases()[name]
    then = record["made"]
    same = all(then[key] == now[key] for key in ("commit", "machine", "versions"))
    return same and not now["uncommitted"] and not then["uncommitted"] and record["size"] == dict(case.size)


@contextmanager
def _runner(quick: bool) -> Iterator[Runner]:
    """How to run a form once: in this process, or in one that stays for its next turn and keeps its input."""
    if quick:
        yield _run
        return
    with ExitStack() as stack:
        stack.enter_context(_environment(THREADS))
        pools = {form: stack.enter_context(_process()) for form in FORMS}
        yield lambda name, form, small: pools[form].submit(_run_warm, name, form, small).result()


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _run(name: str, form: Form, quick: bool) -> Repetition:
    case = cases()[name]
    return repetition(case.form(form), case.inputs(**(case.quick if quick else case.size)))


@cache
def _warm_input(name: str, form: Form) -> Any:
    """The input, after a run on a small one: what libraries load at first use is not the form's."""
    case = cases()[name]
    case.form(form)(case.inputs(**case.quick))
    return case.inputs(**case.size)


def _run_warm(name: str, form: Form, quick: bool) -> Repetition:
    return repetition(cases()[name].form(form), _warm_input(name, form))


def _ratios(pairs: Sequence[Mapping[Form, Repetition]]) -> Record:
    """Reference / ours of each turn's CPU and wall seconds, and of the peaks of memory."""
    ratios: Record = {
        kind: _spread([getattr(pair["reference"], kind) / max(getattr(pair["ours"], kind), 1e-9) for pair in pairs])
        for kind in ("cpu", "wall")
    }
    ours, reference = (max(pair[form].megabytes for pair in pairs) for form in FORMS)
    return ratios | {"memory": _rounded(reference / ours) if ours >= 1 else None}


def _summary(case: Case, form: Form, runs: Sequence[Repetition]) -> Record:
    text = inspect.getdoc(case.form(form)) or ""
    return {
        "what": " ".join(text.partition("\n\n")[0].split()),
        "cpu": _spread([run.cpu for run in runs]),
        "wall": _spread([run.wall for run in runs]),
        "megabytes": _rounded(max(run.megabytes for run in runs)),
    }


def _spread(values: Sequence[float]) -> Record:
    return {
        "median": _rounded(statistics.median(values)),
        "lowest": _rounded(min(values)),
        "highest": _rounded(max(values)),
    }


def _rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}") if math.isfinite(value) else value


def _git(*arguments: str) -> str:
    """What git says of this project, or nothing where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
