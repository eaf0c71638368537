"""Two processes on the CPU give the result of one, up to rounding, also when one of them is killed."""

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


def torchrun(folder: Path, restarts: int) -> int:
    """Train with two processes; torchrun's exit code."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, f"--max-restarts={restarts}", tiny_training.__file__, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WEAK2MASK_DEVICE": "cpu"},
        check=False,
        timeout=550,
    ).returncode


def require_equal(one: Path, two: Path) -> None:
    """The weights and losses of two trainings are the same up to rounding, each step was done once."""
    with np.load(one / "weights.npz") as expected, np.load(two / "weights.npz") as found:
        assert sorted(found) == sorted(expected)
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
        assert found["features.1.num_batches_tracked"] == tiny_training.STEPS
    for a, b in zip(*(json.loads((folder / "history.json").read_text()) for folder in (one, two)), strict=True):
        assert a == pytest.approx(b, rel=1e-4)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("WEAK2MASK_DEVICE", "cpu")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_train_as_one(folders: tuple[Path, Path]) -> None:
    """torchrun starts both again, and they go on from the last state that was saved."""
    one, two = folders
    (two / "kill_10").touch()
    assert torchrun(two, restarts=1) == 0
    assert not (two / "kill_10").exists()
    assert sorted(path.name for path in two.glob("from_*")) in (["from_0", "from_10"], ["from_0", "from_9"])
    assert not (two / "state").exists()
    Run(one)()
    require_equal(one, two)


@pytest.mark.slow
def test_without_restarts_the_same_command_goes_on(folders: tuple[Path, Path]) -> None:
    one, two = folders
    (two / "kill_15").touch()
    assert torchrun(two, restarts=0) != 0
    assert not (two / "weights.npz").exists()
    assert torchrun(two, restarts=0) == 0
    assert len(list(two.glob("from_*"))) == 2
    Run(one)()
    require_equal(one, two)
