"""Tests of models, oracles and published networks, run by pytest on the device, and which of them hold."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.parts import Given

ORACLES = ("tests/models/test_oracles.py", "tests/pipeline/weights/test_official_networks.py")
TINY = ("-k", "max_norm or pamr or test_every_network")


def oracles(given: Given) -> None:
    """In float32 without TF32: all must hold."""
    _tested(given, ORACLES, "float32", must=True)


def half(given: Given) -> None:
    """How many hold in coarser arithmetic, within the tolerances of float32."""
    for arithmetic in ("tf32", "bfloat16"):
        _tested(given, ORACLES, arithmetic, must=False)


def models(given: Given) -> None:
    """All other tests of models."""
    _tested(given, ("tests/models", f"--ignore={ORACLES[0]}"), "float32", must=True)


def _tested(given: Given, chosen: tuple[str, ...], arithmetic: str, must: bool) -> None:
    workers = "0" if given.tiny else str(min(8, len(os.sched_getaffinity(0))))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", *chosen, *(TINY if given.tiny else ()), "-n", workers),
                *(f"--device={given.device}", f"--arithmetic={arithmetic}", f"--junitxml={report}", "--tb=line"),
            ],
            check=False,
        )
        cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else []
        failed, counts = [], Counter[str]()
        for case in cases:
            outcomes = {child.tag: child.get("message", "") for child in case}
            outcome = next((tag for tag in ("failure", "error", "skipped") if tag in outcomes), "passed")
            counts[outcome] += 1
            if outcome in ("failure", "error"):
                failed.append([f"{case.get('classname')}::{case.get('name')}", outcomes[outcome][:300]])
    given.keep({"tests": list(chosen), "arithmetic": arithmetic, **counts, "failed": failed})
    if must and done.returncode:
        raise SystemExit(f"pytest ended with {done.returncode}")
