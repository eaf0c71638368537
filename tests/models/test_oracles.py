"""Numbers of published reference code: every fixture of the folder ``ORACLES``, and a few of our own in tests/golden.

``ORACLES`` defaults to ``../shared/oracles`` beside the project, ``MODERN_ORACLES`` (methods since 2023) to
``../shared/modern/oracles``; without them only tests/golden runs. The key scheme is that of the fixtures' README:
``cN.in.X``, ``cN.par.X``, ``cN.aux.X``, ``cN.out.Y``, ``cN.grad.Y.X``, ``cN.out64.Y``, ``cN.grad64.Y.X``,
``cN.err.*``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracle_adapters import ADAPTERS
from oracle_case import Case, read_case

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
ORACLES = Path(os.environ.get("ORACLES", ROOT.parent / "shared" / "oracles"))
MODERN = Path(os.environ.get("MODERN_ORACLES", ROOT.parent / "shared" / "modern" / "oracles"))

PENDING: dict[str, str] = {}
"""Fixtures whose method is not built yet, and the part of the project that brings it."""

NAN_IN_REFERENCE = {"afa_losses", "weclip_losses"}
"""Fixtures whose reference divides by zero pixels, where ours must be finite."""

BY_FORMULA = {"toco_energy"}
"""Fixtures whose reference approximates what ours computes; their group ``formula`` has the exact values."""

ABSOLUTE = {
    "max_norm": 2e-7,
    "cam_export_norm": 5e-7,
    "eval_miou": 1e-10,
    "eval_contour": 1e-10,
    "eval_cam_sweep": 1e-10,
    "crf_prob": 1e-5,
    "crf_label": 1e-5,
    "crf_other": 1e-5,
    "weclip_cam": 1e-6,
    "weclip_label": 5e-6,
    "excel_refine": 2e-6,
    "dhr_ot": 1e-5,
}
"""Tolerance of a fixture's float outputs, from its README, where it differs from 1e-6 of the value."""


def _fixtures() -> Iterator[Any]:
    for folder in (GOLDEN, ORACLES, MODERN):
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as arrays:
                count = int(arrays["meta.n_cases"])
            for index in range(count):
                yield pytest.param(path, index, id=f"{path.stem}-c{index}")


@pytest.mark.parametrize(("path", "index"), _fixtures())
def test_fixture(path: Path, index: int) -> None:
    name = path.stem
    if name in PENDING:
        pytest.xfail(f"{name} comes with {PENDING[name]}")
    assert name in ADAPTERS, f"{path} is unknown: write its adapter, or list it in PENDING"
    if name.startswith("crf"):
        pytest.importorskip("pydensecrf")
    case = read_case(path, index)
    if name in BY_FORMULA:
        _compare_formula(name, case)
        return
    _compare_single(name, case)
    if case.out64 or case.grad64:
        _compare_double(name, case)


def test_no_fixture_is_both_pending_and_built() -> None:
    assert not PENDING.keys() & ADAPTERS.keys()


def test_oracles_folder_is_there() -> None:
    if "ORACLES" not in os.environ and not ORACLES.is_dir():
        pytest.skip("no folder of oracle fixtures: only tests/golden was compared (set ORACLES)")
    assert list(ORACLES.glob("*.npz")), f"ORACLES={ORACLES} has no fixtures (*.npz)"


def _compare_single(name: str, case: Case) -> None:
    """float32: 4x the gap between the reference's own float32 and float64 runs, plus 1e-6 of the value."""
    got = _run(name, case, torch.float32)
    for group in ("out", "grad"):
        for key, wanted in case.groups.get(group, {}).items():
            gap = 4 * float(case.err.get(f"{group}.{key}", 0))
            base = ABSOLUTE.get(name) if group == "out" else None
            _close(
                got,
                f"{group}.{key}",
                wanted,
                gap,
                1e-6 if base is None else base,
                scaled=base is None,
                finite=name in NAN_IN_REFERENCE,
            )


def _compare_double(name: str, case: Case) -> None:
    got = _run(name, case, torch.float64)
    for group in ("out", "grad"):
        for key, wanted in case.groups.get(f"{group}64", {}).items():
            _close(got, f"{group}.{key}", wanted, 0, 1e-7, scaled=True, finite=name in NAN_IN_REFERENCE)


def _compare_formula(name: str, case: Case) -> None:
    """float64: 1e-7 of the largest value (the formula took float32 predictions); float32: 1e-5 of it."""
    for dtype, share in ((torch.float64, 1e-7), (torch.float32, 1e-5)):
        got = _run(name, case, dtype)
        for key, wanted in case.formula.items():
            _close(got, f"formula.{key}", wanted, share * float(np.abs(wanted).max()), 0, scaled=False)


def _run(name: str, case: Case, dtype: torch.dtype) -> dict[str, Any]:
    results = ADAPTERS[name](case, dtype)
    return {key: v.detach().numpy() if torch.is_tensor(v) else np.asarray(v) for key, v in results.items()}


def _close(
    got: dict[str, Any], key: str, wanted: Any, gap: float, tolerance: float, *, scaled: bool, finite: bool = False
) -> None:
    assert key in got, f"the adapter does not return {key}"
    ours, reference = got[key], np.asarray(wanted)
    assert ours.shape == reference.shape, f"{key}: shape {ours.shape}, expected {reference.shape}"
    if reference.dtype.kind in "iub":
        np.testing.assert_array_equal(ours, reference, err_msg=key)
        return
    if not finite:
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(reference), err_msg=f"{key}: NaN")
    assert not finite or np.isfinite(ours).all(), f"{key}: not finite"
    allowed = gap + tolerance * (np.maximum(1, np.abs(reference)) if scaled else 1)
    gaps = np.nan_to_num(np.abs(ours - reference), nan=0.0)
    allowed = np.nan_to_num(allowed, nan=0.0)
    assert (gaps <= allowed).all(), f"{key}: off by {gaps.max()}, allowed {np.max(allowed)}"
