"""Two processes on the CPU give the result of one, up to rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import tiny_training
from tests.helpers.tiny_training import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, tiny_training.__file__, str(two)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=120,
    )
    Run(one)()
    with np.load(one / "weights.npz") as expected, np.load(two / "weights.npz") as found:
        assert sorted(found) == sorted(expected)
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
        assert found["features.1.num_batches_tracked"] == tiny_training.STEPS
    for a, b in zip(*(json.loads((folder / "history.json").read_text()) for folder in (one, two)), strict=True):
        assert a == pytest.approx(b, rel=1e-4)
