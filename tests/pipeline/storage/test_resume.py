"""A training that is killed at any moment ends with the same bytes as one that never was."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import TrainingError
from pipeline.storage.resume import Resume
from tests.helpers.tiny_training import STEPS, Run

pytestmark = pytest.mark.slow

RANDOM = {"dropout": 0.5, "noise": 0.1}


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Starts real processes from one that has torch imported already."""
    before = os.environ.get("WEAK2MASK_DEVICE")
    os.environ["WEAK2MASK_DEVICE"] = "cpu"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.tiny_training", "lightning_fabric"])
    yield context
    os.environ.pop("WEAK2MASK_DEVICE") if before is None else os.environ.update(WEAK2MASK_DEVICE=before)


def finish(processes: Any, run: Run) -> tuple[bytes, str]:
    run.folder.mkdir(exist_ok=True)
    process = processes.Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    return weights(run.folder), (run.folder / "history.json").read_text()


def weights(folder: Path) -> bytes:
    with np.load(folder / "weights.npz") as arrays:
        return b"".join(arrays[name].tobytes() for name in sorted(arrays))


def stop(processes: Any, run: Run, step: int, number: signal.Signals, wait: float = 0.0) -> BaseProcess:
    """Start a training and send it a signal ``wait`` seconds after ``step``."""
    run.folder.mkdir(exist_ok=True)
    process: BaseProcess = processes.Process(target=run)
    process.start()
    deadline = time.monotonic() + 60
    while not (run.folder / f"reached_{step}").exists():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.001)
    time.sleep(wait)
    assert process.pid is not None
    os.kill(process.pid, number)
    while Path(f"/proc/{process.pid}").exists():  # join() would also wait for the orphans that load
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return process


@pytest.mark.parametrize("num_workers", [0, 2])
def test_kill_9_at_any_moment_changes_no_byte(processes: Any, num_workers: int, tmp_path: Path) -> None:
    whole = finish(processes, Run(tmp_path / "whole", num_workers, **RANDOM))
    killed = Run(tmp_path / "killed", num_workers, **RANDOM, pause=0.1)
    waits = np.random.default_rng().uniform(0, 0.12, 3)  # within the pause, a step, a save, or between them
    for step, wait in zip((5, 10, 20), waits, strict=True):
        stop(processes, killed, step, signal.SIGKILL, wait)
        assert not (killed.folder / "weights.npz").exists()
    assert torch.load(killed.folder / "state" / "last.pt", weights_only=True)["done"] >= 19
    assert finish(processes, killed) == whole
    assert not (killed.folder / "state").exists()
    assert [row["step"] for row in json.loads(whole[1])] == [5, 10, 15, 20, STEPS]


def test_sigterm_saves_and_ends(processes: Any, tmp_path: Path) -> None:
    run = Run(tmp_path / "run", 2, **RANDOM, pause=0.2)
    process = stop(processes, run, 10, signal.SIGTERM)
    process.join(10)
    assert process.exitcode == 128 + signal.SIGTERM
    assert torch.load(run.folder / "state" / "last.pt", weights_only=True)["done"] == 10


def snapshot() -> dict[str, Any]:
    return {"done": 3, "method": {"weight": torch.arange(5.0)}}


def test_a_torn_state_warns_and_starts_anew(tmp_path: Path) -> None:
    resume = Resume(tmp_path / "state", every_seconds=0)
    resume.on_step(3, snapshot)
    whole = resume.path.read_bytes()
    for torn in (b"", whole[: len(whole) // 2], b"no archive at all", whole[:-30]):
        resume.path.write_bytes(torn)
        with pytest.warns(UserWarning, match=r"last\.pt cannot be read .* starts anew"):
            assert resume.load() is None


def test_a_state_of_something_else_is_not_taken(tmp_path: Path) -> None:
    resume = Resume(tmp_path / "state")
    resume.path.parent.mkdir()
    torch.save({"weights": 1}, resume.path)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert resume.load() is None
    assert Resume(tmp_path / "nothing").load() is None


def test_saving_waits_for_its_time_and_for_the_writer(tmp_path: Path) -> None:
    for resume in (Resume(tmp_path / "later", every_seconds=1000), Resume(tmp_path / "reader", 0, writes=False)):
        resume.on_step(1, snapshot)
        assert not resume.path.exists()
    writer = Resume(tmp_path / "writer", every_seconds=0)
    writer.on_step(1, snapshot)
    state = writer.load()
    assert state is not None
    assert torch.equal(state["method"]["weight"], torch.arange(5.0))
    assert [path.name for path in writer.path.parent.iterdir()] == ["last.pt"]
    writer.finish()
    assert not writer.path.parent.exists()


def test_signals_are_left_alone_outside_a_training(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Resume(tmp_path).stopping_at_a_step():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def _claim_and_wait(folder: Path) -> None:
    resume = Resume(folder)
    resume.claim()
    time.sleep(60)


def test_two_processes_are_never_at_the_same_training(processes: Any, tmp_path: Path) -> None:
    """The second says who is at it, and goes on as soon as that one is killed."""
    first = processes.Process(target=_claim_and_wait, args=(tmp_path / "training",))
    first.start()
    while not (tmp_path / "training" / "pid").is_file():
        time.sleep(0.05)
    second = Resume(tmp_path / "training")
    with pytest.raises(TrainingError, match=f"found process {first.pid} at it"):
        second.claim(patience=0)
    first.kill()
    first.join()
    second.claim()
    second.finish()
    assert not (tmp_path / "training").exists()
